//go:build system

package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// root is the repository, bin where its programs are.
var root, bin string

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// build makes the programs as they are in the source now.
func build() error {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	bin = filepath.Join(root, "bin")
	cmd := exec.Command("make", "-C", root, "build")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the programs: %w\n%s", err, out)
	}
	return nil
}
