//go:build linux && cgo

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// The function file() needs no grant; the kernel keeps it to the data folder.
func TestOtherFilesAreOutOfReach(t *testing.T) {
	if v, err := ll.LandlockGetABIVersion(); err != nil || v < 1 {
		t.Skipf("this kernel has no Landlock (version %d, %v); enable it with lsm=landlock", v, err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("do not tell"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, t.TempDir())
	f := func(sql string) {
		t.Helper()
		answer, text := call(t, http.MethodPost, "http://"+p.Addr+"/", strings.ReplaceAll(sql, "SECRET", "'"+secret+"'"))
		if answer.StatusCode == http.StatusOK || strings.Contains(text, "do not tell") {
			t.Fatalf("unexpected answer of %q: %s %q", sql, answer.Status, text)
		}
	}
	f("SELECT file(SECRET)")
	f("SELECT arrayMap(file, [SECRET])")
	f("INSERT INTO FUNCTION null('a String') VALUES (file(SECRET))")
}
