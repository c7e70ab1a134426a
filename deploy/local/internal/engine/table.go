// Package engine gets the ClickHouse engine as a library: from the npm registry,
// checked against its hash, into the user's cache. Nothing else is installed.
package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Package is the library for one system, as it is published.
type Package struct {
	// Name and Version are those of the npm package.
	Name, Version string
	// Integrity is the SHA-512 of the packed file, in npm's form.
	Integrity string
	// Library is the file in the package.
	Library string
}

// packages are those whose hash we have checked, by GOOS/GOARCH. To add one:
//
//	npm view @chdb/lib-<system>@<version> dist.integrity
var packages = map[string]Package{
	"linux/amd64": {
		Name: "@chdb/lib-linux-x64-gnu", Version: "26.7.3-stable.1", Library: "package/libchdb.so",
		Integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
	},
}

// ForThisSystem returns the package for this machine.
func ForThisSystem() (Package, error) {
	system := runtime.GOOS + "/" + runtime.GOARCH
	p, ok := packages[system]
	if !ok {
		return Package{}, fmt.Errorf("there is no embedded ClickHouse for %s; possible solutions: "+
			"put a clickhouse binary on the PATH (https://clickhouse.com/docs/install); "+
			"set TALLYGATE_CLICKHOUSE_URL to a server, for example of: docker compose up clickhouse", system)
	}
	return p, nil
}

// Folder is where the library is kept: TALLYGATE_CACHE, or tallygate in the
// user's cache folder.
func Folder() (string, error) {
	if f := os.Getenv("TALLYGATE_CACHE"); f != "" {
		return f, nil
	}
	f, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find a folder for the ClickHouse library: %w; set TALLYGATE_CACHE to one", err)
	}
	return filepath.Join(f, "tallygate"), nil
}

// Path returns where the library for this machine is, or would be.
func Path() (string, error) {
	p, err := ForThisSystem()
	if err != nil {
		return "", err
	}
	folder, err := Folder()
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, p.Version, filepath.Base(p.Library)), nil
}
