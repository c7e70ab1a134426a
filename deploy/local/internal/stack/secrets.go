package stack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/tallygate/tallygate/schemas/key"
)

// Secrets are made once for a data folder, by the names of their variables.
type Secrets map[string]string

const (
	apiKeyVariable     = "TALLYGATE_API_KEY"
	demoKeyVariable    = "TALLYGATE_DEMO_KEY"
	adminTokenVariable = "TALLYGATE_ADMIN_TOKEN"
	pepperVariable     = "TALLYGATE_PEPPER"
)

var makeSecret = map[string]func() string{
	apiKeyVariable: key.New, demoKeyVariable: key.New, adminTokenVariable: randomHex, pepperVariable: randomHex,
}

// loadSecrets reads the data folder's secrets and makes those that are missing.
// Only the user can read the file.
func loadSecrets(data string) (Secrets, error) {
	path := filepath.Join(data, "secrets.env")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the secrets of the stack: %w", err)
	}
	secrets := Secrets{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if _, known := makeSecret[name]; ok && known && value != "" {
			secrets[name] = value
		}
	}
	if len(secrets) == len(makeSecret) {
		return secrets, nil
	}
	for name, produce := range makeSecret {
		if secrets[name] == "" {
			secrets[name] = produce()
		}
	}
	return secrets, writeEnv(path, secrets)
}

func randomHex() string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		panic("BUG: crypto/rand does not fail: " + err.Error())
	}
	return hex.EncodeToString(b)
}

// writeEnv writes variables, for the user's eyes only. The file is there whole or
// not at all.
func writeEnv(path string, variables map[string]string) error {
	var lines []string
	for name, value := range variables {
		lines = append(lines, name+"="+shellQuote(value)+"\n")
	}
	sort.Strings(lines)
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(strings.Join(lines, "")), 0o600); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}

// shellQuote quotes what a shell would not take as it is.
func shellQuote(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return r >= 0x80 || !strings.ContainsRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-./:@,%+=", r)
	}) < 0
	if plain && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
