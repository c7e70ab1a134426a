//go:build system

package system

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// makeDatabase makes the stack's database.
func (s *stack) makeDatabase() {
	s.t.Helper()
	if _, err := s.queryIn("", "CREATE DATABASE IF NOT EXISTS "+s.database); err != nil {
		s.t.Fatalf("cannot make the database: %s", err)
	}
}

// query runs SQL and returns rows of texts, as in TSV without escapes undone.
func (s *stack) query(sql string) ([][]string, error) { return s.queryIn(s.database, sql) }

func (s *stack) queryIn(database, sql string) ([][]string, error) {
	q := url.Values{"default_format": {"TabSeparated"}}
	if database != "" {
		q.Set("database", database)
	}
	client := http.Client{Timeout: time.Minute}
	resp, err := client.Post("http://"+s.clickhouseAddr+"/?"+q.Encode(), "text/plain", strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ClickHouse answers %d to %q: %s", resp.StatusCode, sql, body)
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// becomes waits until SQL gives the value.
func (s *stack) becomes(sql, want string) {
	s.t.Helper()
	var rows [][]string
	var err error
	eventually(s.t, 30*time.Second, func() error {
		if rows, err = s.query(sql); err != nil {
			return err
		}
		if got := strings.Join(flatten(rows), " "); got != want {
			return fmt.Errorf("unexpected result of %q; got %q; want %q", sql, got, want)
		}
		return nil
	})
}

func flatten(rows [][]string) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}
