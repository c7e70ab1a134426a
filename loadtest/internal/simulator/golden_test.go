package simulator

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden answers; review the difference")

func TestGolden(t *testing.T) {
	url, _ := start(t, nil)
	requests, err := filepath.Glob("testdata/*/request.json")
	if err != nil || len(requests) == 0 {
		t.Fatalf("cannot find testdata/*/request.json: %v", err)
	}
	for _, file := range requests {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			resp, got, err := post(t, url, string(body))
			if err != nil {
				t.Fatalf("unexpected error: %s", err)
			}
			name := "answer.json"
			if resp.Header.Get("Content-Type") == sseType {
				name = "answer.sse"
			}
			golden := filepath.Join(filepath.Dir(file), name)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("cannot read the golden answer: %s; run the test with -update", err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("unexpected answer; got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
