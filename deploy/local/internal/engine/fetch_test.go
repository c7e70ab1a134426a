package engine

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeNPM puts a program named npm on the PATH that hands out a package, and
// returns the package's integrity.
func fakeNPM(t *testing.T, content string) string {
	t.Helper()
	folder := t.TempDir()
	packed := filepath.Join(folder, "package.tgz")
	f, err := os.Create(packed)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "package/libchdb.so", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, content)
	for _, c := range []io.Closer{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\n# pack --silent --pack-destination FOLDER NAME\ncp " + packed + " \"$4\"/fetched.tgz\n"
	if err := os.WriteFile(filepath.Join(folder, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":/bin:/usr/bin")
	data, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(data)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// usePackage makes a package the one for every system.
func usePackage(t *testing.T, p Package) {
	t.Helper()
	old := packages
	packages = map[string]Package{}
	for system := range old {
		packages[system] = p
	}
	t.Cleanup(func() { packages = old })
}

func TestFetch(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("TALLYGATE_CACHE", cache)
	usePackage(t, Package{Name: "@chdb/lib", Version: "1.0.0", Library: "package/libchdb.so", Integrity: fakeNPM(t, "the library")})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			path, err := Fetch(context.Background(), io.Discard)
			if err != nil {
				t.Errorf("cannot fetch: %v", err)
				return
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "the library" {
				t.Errorf("unexpected library: %q, %v", text, err)
			}
		})
	}
	wait.Wait()
	t.Setenv("PATH", "/nowhere")
	if _, err := Fetch(context.Background(), io.Discard); err != nil {
		t.Fatalf("a library in the cache needs no npm: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "*", ".fetch-*")); err != nil || len(left) > 0 {
		t.Fatalf("temporary folders are left: %v, %v", left, err)
	}
}

func TestFetchFails(t *testing.T) {
	f := func(p Package, want ...string) {
		t.Helper()
		t.Setenv("TALLYGATE_CACHE", t.TempDir())
		usePackage(t, p)
		_, err := Fetch(context.Background(), io.Discard)
		if err == nil {
			t.Fatal("unexpected success")
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Fatalf("unexpected error; got %v; want one with %q", err, part)
			}
		}
		path, err := Path()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatal("a library was installed all the same")
		}
	}
	good := Package{Name: "@chdb/lib", Version: "1.0.0", Library: "package/libchdb.so", Integrity: fakeNPM(t, "x")}
	wrong := good
	wrong.Integrity = "sha512-AAAA"
	f(wrong, "its hash is sha512-", "want sha512-AAAA", "nothing was installed", "npm cache clean")
	missing := good
	missing.Library = "package/other.so"
	f(missing, "the package has no package/other.so")
	t.Setenv("PATH", "/nowhere")
	f(good, "npm is not installed", "apt-get install npm", "TALLYGATE_CLICKHOUSE_URL")
	packages = map[string]Package{}
	if _, err := Fetch(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "there is no embedded ClickHouse for") {
		t.Fatalf("unexpected error on an unknown system: %v", err)
	}
}
