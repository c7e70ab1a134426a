package config

import (
	"fmt"
	"os"
	"strings"
)

// SecretRef says where a secret is: "env:NAME" or "file:PATH". A configuration
// holds references only, never the secret.
type SecretRef string

// Resolve returns the secret, without white space around it. Its error names the
// reference, never the secret.
func (r SecretRef) Resolve() (string, error) {
	kind, name, _ := strings.Cut(string(r), ":")
	var secret string
	switch kind {
	case "env":
		v, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("cannot resolve the secret %q: the environment variable is not set", r)
		}
		secret = v
	case "file":
		b, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("cannot resolve the secret %q: %w", r, err)
		}
		secret = string(b)
	default:
		return "", fmt.Errorf("cannot resolve the secret: it must be given as env:NAME or file:PATH")
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", fmt.Errorf("cannot resolve the secret %q: it is empty", r)
	}
	return secret, nil
}

func (r SecretRef) validate(at where) {
	kind, name, ok := strings.Cut(string(r), ":")
	if !ok || name == "" || kind != "env" && kind != "file" {
		// The text is not shown: it may be the secret itself.
		at.wrong("must be a reference to a secret, env:NAME or file:PATH, never the secret itself")
	}
}
