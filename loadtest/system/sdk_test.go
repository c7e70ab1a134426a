//go:build system

package system

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOpenAISDKs calls the gateway with the official OpenAI SDKs; see sdk/README.md.
func TestOpenAISDKs(t *testing.T) {
	s := start(t, options{})
	g := s.startGateway("gateway")
	sdk := filepath.Join(root, ".cache", "sdk")

	f := func(name string, cases int, home string, command ...string) {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(home); err != nil {
				t.Fatalf("the SDK is not installed: %s; run 'make sdk'", err)
			}
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "TALLYGATE_BASE_URL="+g.url+"/v1", "SDK_HOME="+home)
			for name, secret := range s.keys {
				cmd.Env = append(cmd.Env, "KEY_"+name+"="+secret)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %s\n%s%s", filepath.Base(command[0]), err, out, stderr.Bytes())
			}
			seen := 0
			for line := range bytes.Lines(out) {
				var c struct {
					Case   string `json:"case"`
					OK     bool   `json:"ok"`
					Detail string `json:"detail"`
				}
				if err := json.Unmarshal(line, &c); err != nil {
					t.Fatalf("unexpected output %q: %s", line, err)
				}
				seen++
				t.Run(c.Case, func(t *testing.T) {
					if !c.OK {
						t.Fatal(c.Detail)
					}
				})
			}
			if seen < cases {
				t.Fatalf("unexpected number of cases; got %d; want at least %d", seen, cases)
			}
		})
	}
	f("node", 20, filepath.Join(sdk, "node"), "node", "sdk/node/check.mjs")
	f("python", 20, filepath.Join(sdk, "python"), filepath.Join(sdk, "python", "bin", "python"), "sdk/python/check.py")
}
