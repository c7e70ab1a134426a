// Package chconfig writes the configuration of the embedded ClickHouse engine
// into its data folder: what a server has in config.xml and users.xml.
package chconfig

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed config.xml
var configText string

//go:embed users.xml
var usersText []byte

var configTemplate = template.Must(template.New("config.xml").Funcs(template.FuncMap{"xml": escape}).Parse(configText))

// Write writes config.xml and users.xml for a data folder and returns the path of
// the former. Users is a file to take instead of the built-in users.xml, or empty.
func Write(data, users string) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("cannot find the data folder: %w", err)
	}
	text := usersText
	if users != "" {
		if text, err = os.ReadFile(users); err != nil {
			return "", fmt.Errorf("cannot read the users of ClickHouse: %w", err)
		}
	}
	usersFile := filepath.Join(data, "users.xml")
	if err := os.WriteFile(usersFile, text, 0o600); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	var b strings.Builder
	if err := configTemplate.Execute(&b, map[string]string{"Data": data, "Users": usersFile}); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	configFile := filepath.Join(data, "config.xml")
	if err := os.WriteFile(configFile, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	return configFile, nil
}

func escape(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

//go:embed server.xml
var serverText string

var serverTemplate = template.Must(template.New("server.xml").Funcs(template.FuncMap{"xml": escape}).Parse(serverText))

// WriteServer writes the configuration of a real `clickhouse server` that serves
// HTTP on an address only, and returns its path.
func WriteServer(data, addr string) (string, error) {
	data, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("cannot find the data folder: %w", err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("cannot use the address of ClickHouse %q: %w", addr, err)
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the data folder: %w", err)
	}
	usersFile, configFile := filepath.Join(data, "users.xml"), filepath.Join(data, "config.xml")
	if err := os.WriteFile(usersFile, usersText, 0o600); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	var b strings.Builder
	if err := serverTemplate.Execute(&b, map[string]string{"Data": data, "Users": usersFile, "Host": host, "Port": port}); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	if err := os.WriteFile(configFile, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("cannot write the configuration of ClickHouse: %w", err)
	}
	return configFile, nil
}
