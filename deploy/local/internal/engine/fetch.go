package engine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Fetch returns the path of the library, and gets it first if it is not there. It
// can be run by several processes at once. Progress goes to log.
func Fetch(ctx context.Context, log io.Writer) (string, error) {
	path, err := Path()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	p, err := ForThisSystem()
	if err != nil {
		return "", err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a folder for the ClickHouse library: %w; set TALLYGATE_CACHE to another", err)
	}
	temp, err := os.MkdirTemp(folder, ".fetch-")
	if err != nil {
		return "", fmt.Errorf("cannot make a folder for the ClickHouse library: %w; set TALLYGATE_CACHE to another", err)
	}
	defer os.RemoveAll(temp)
	fmt.Fprintf(log, "fetching %s@%s by npm (170 MiB, once)\n", p.Name, p.Version)
	packed, err := pack(ctx, p, temp)
	if err != nil {
		return "", err
	}
	if err := verify(packed, p.Integrity); err != nil {
		return "", fmt.Errorf("cannot use the package %s@%s: %w; it is not what was published; nothing was installed: "+
			"check the registry (npm config get registry), run npm cache clean --force, and try again", p.Name, p.Version, err)
	}
	unpacked := filepath.Join(temp, filepath.Base(path))
	if err := unpack(packed, p.Library, unpacked); err != nil {
		return "", err
	}
	if err := os.Rename(unpacked, path); err != nil {
		return "", fmt.Errorf("cannot put the ClickHouse library in place: %w", err)
	}
	fmt.Fprintf(log, "the ClickHouse library is at %s\n", path)
	return path, nil
}

// pack downloads the package's file. npm knows the user's registry and proxy.
func pack(ctx context.Context, p Package, folder string) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("cannot fetch the ClickHouse library: npm is not installed; possible solutions: " +
			"install Node.js with npm (apt-get install npm, brew install node, or https://nodejs.org) and run: make engine; " +
			"set TALLYGATE_CLICKHOUSE_URL to a ClickHouse server; put a clickhouse binary on the PATH")
	}
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--pack-destination", folder, p.Name+"@"+p.Version)
	cmd.Dir = folder
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cannot fetch the ClickHouse library: npm pack %s@%s: %w: %s; check that the registry is reachable: npm ping",
			p.Name, p.Version, err, strings.TrimSpace(stderr.String()))
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("cannot fetch the ClickHouse library: npm pack left %d files, want one", len(files))
	}
	return files[0], nil
}

// verify compares a file with npm's integrity string.
func verify(path, integrity string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != integrity {
		return fmt.Errorf("its hash is %s, want %s", got, integrity)
	}
	return nil
}

// unpack takes one file out of a package.
func unpack(packed, name, to string) error {
	f, err := os.Open(packed)
	if err != nil {
		return fmt.Errorf("cannot unpack the ClickHouse library: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("cannot unpack the ClickHouse library: %w", err)
	}
	files := tar.NewReader(z)
	for {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot unpack the ClickHouse library: the package has no %s", name)
		}
		if err != nil {
			return fmt.Errorf("cannot unpack the ClickHouse library: %w", err)
		}
		if head.Name == name {
			return writeFile(to, files)
		}
	}
}

func writeFile(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return fmt.Errorf("cannot unpack the ClickHouse library: %w", err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("cannot unpack the ClickHouse library to %q: %w", path, err)
	}
	return nil
}
