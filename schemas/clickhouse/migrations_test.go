package clickhouse

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMigrationsKeepTheRules(t *testing.T) {
	all, err := Migrations()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("unexpected number of migrations; got %d; want at least 5", len(all))
	}
	for _, m := range all {
		text, err := files.ReadFile(fileName(m) + ".up.sql")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "--") {
			t.Errorf("%s.up.sql must begin with a comment that says why this order, this partition and this engine", fileName(m))
		}
	}
}

func TestMigrationsRefused(t *testing.T) {
	f := func(files map[string]string, want string) {
		t.Helper()
		dir := fstest.MapFS{}
		for name, text := range files {
			dir["migrations/"+name] = &fstest.MapFile{Data: []byte(text)}
		}
		if _, err := parse(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one with %q", err, want)
		}
	}
	const up, down = "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = Memory;\n", "DROP TABLE IF EXISTS a;\n"
	f(map[string]string{"0001_a.up.sql": up}, "both an up and a down")
	f(map[string]string{"0002_a.up.sql": up, "0002_a.down.sql": down}, "0001 is missing")
	f(map[string]string{"0001_a.up.sql": up, "0001_b.down.sql": down}, "two names")
	f(map[string]string{"1_a.sql": up}, "the name must be")
	f(map[string]string{"0001_a.up.sql": "CREATE TABLE a (x UInt8) ENGINE = Memory;"}, "run again")
	f(map[string]string{"0001_a.up.sql": "-- nothing\n"}, "there is no statement")
}

func fileName(m Migration) string {
	return fmt.Sprintf("migrations/%04d_%s", m.Version, m.Name)
}
