// Package scenario holds the scenario files, so that programs have them wherever
// they run.
package scenario

import "embed"

// Files are the scenarios, by name with ".yaml".
//
//go:embed *.yaml
var Files embed.FS
