// Command vulndb writes the Go vulnerability database as a folder, for
// govulncheck where the database's own host cannot be reached:
//
//	vulndb -out DIR
//	govulncheck -db file://DIR ./...
//
// The data is that of the module golang.org/x/vulndb at a pinned version, which
// comes by the Go module proxy and is as old as the pin: raise it from time to
// time. Written as go.dev/security/vuln/database lays it out, API version 1.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// The module whose data is used, and its checksum as in a go.sum file.
const (
	module  = "golang.org/x/vulndb"
	version = "v0.0.0-20261105234957-e22db6528018"
	sum     = "h1:mfngRv0Yoh0VApsXKEN82CjD99kl7mtparN3bs3JnqI="
)

// reportsMin is fewer than the pinned version has.
const reportsMin = 4000

func main() {
	out := flag.String("out", "", "folder to write; it is replaced")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out string) error {
	marker := filepath.Join(out, "version.txt")
	if have, err := os.ReadFile(marker); err == nil && string(have) == version {
		return nil
	}
	dir, err := download()
	if err != nil {
		return err
	}
	temp := out + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("cannot clear %q: %w", temp, err)
	}
	if err := write(temp, filepath.Join(dir, "data", "osv"), pinnedAt()); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temp, "version.txt"), []byte(version), 0o644); err != nil {
		return fmt.Errorf("cannot finish %q: %w", temp, err)
	}
	return errors.Join(os.RemoveAll(out), os.Rename(temp, out))
}

// download returns the folder of the module in the module cache.
func download() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", module+"@"+version)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	text, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(text, &got); jsonErr != nil {
		return "", fmt.Errorf("cannot download %s@%s: %w", module, version, errors.Join(err, jsonErr))
	}
	if got.Error != "" {
		return "", fmt.Errorf("cannot download %s@%s: %s", module, version, got.Error)
	}
	if got.Sum != sum {
		return "", fmt.Errorf("unexpected checksum of %s@%s; got %s; want %s", module, version, got.Sum, sum)
	}
	return got.Dir, nil
}

// pinnedAt is the time in the pinned version: the age of the data.
func pinnedAt() time.Time {
	t, err := time.Parse("20060102150405", strings.Split(version, "-")[1])
	if err != nil {
		panic("BUG: the pinned version has no time: " + err.Error())
	}
	return t
}

// entry is what the indexes need of a report in the Open Source Vulnerability format.
type entry struct {
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
	} `json:"affected"`
	Withdrawn string `json:"withdrawn"`
}

type moduleVuln struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

type moduleIndex struct {
	Path  string       `json:"path"`
	Vulns []moduleVuln `json:"vulns"`
}

type vulnIndex struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases,omitempty"`
}

// write lays out the database. The reports in the repository have no times of
// their own: the published database gets them from its history. Here each was
// modified when the module was made. "fixed" is left out of the module index, so
// that govulncheck decides by the whole report.
func write(out, osv string, at time.Time) error {
	modules := map[string]*moduleIndex{}
	var vulns []vulnIndex
	err := filepath.WalkDir(osv, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := writeFile(filepath.Join(out, "ID", e.ID+".json"), text); err != nil || e.Withdrawn != "" {
			return err
		}
		vulns = append(vulns, vulnIndex{e.ID, at, e.Aliases})
		seen := map[string]bool{}
		for _, a := range e.Affected {
			name := a.Package.Name
			if seen[name] {
				continue
			}
			seen[name] = true
			if modules[name] == nil {
				modules[name] = &moduleIndex{Path: name}
			}
			modules[name].Vulns = append(modules[name].Vulns, moduleVuln{e.ID, at})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the reports: %w", err)
	}
	// A database that is empty, or laid out otherwise than thought, would find nothing for ever.
	if len(vulns) < reportsMin || modules["stdlib"] == nil {
		return fmt.Errorf("cannot make the database: %q has %d reports; want at least %d, and some on the standard library", osv, len(vulns), reportsMin)
	}
	index := make([]*moduleIndex, 0, len(modules))
	for _, m := range modules {
		index = append(index, m)
	}
	sort.Slice(index, func(i, j int) bool { return index[i].Path < index[j].Path })
	return errors.Join(
		writeJSON(filepath.Join(out, "index", "modules.json"), index),
		writeJSON(filepath.Join(out, "index", "vulns.json"), vulns),
		writeJSON(filepath.Join(out, "index", "db.json"), map[string]time.Time{"modified": at}),
	)
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot encode %q: %w", path, err)
	}
	return writeFile(path, text)
}

func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
