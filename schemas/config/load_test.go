package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func noEnv(string) (string, bool) { return "", false }

func env(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := pairs[name]; return v, ok }
}

func TestEmptyFileGivesDefaults(t *testing.T) {
	for _, text := range []string{"", "# only a remark\n", "---\n", "policy:\n", "{}", "gateway: {}\npolicy: ~\n"} {
		c, err := Parse("t.yaml", []byte(text), noEnv)
		if err != nil {
			t.Fatalf("unexpected error for %q: %v", text, err)
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Fatalf("unexpected configuration from %q: %+v", text, c)
		}
	}
}

func TestCompleteFileSetsEveryField(t *testing.T) {
	c, err := Load("testdata/complete.yaml")
	if err != nil {
		t.Fatal(err)
	}
	unset(t, reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem(), "")
}

// unset fails for each field that is as in the default, or zero within lists.
func unset(t *testing.T, v, def reflect.Value, path string) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]() || v.Kind() != reflect.Struct && v.Kind() != reflect.Slice:
		if !def.IsValid() && v.IsZero() || def.IsValid() && reflect.DeepEqual(v.Interface(), def.Interface()) {
			t.Errorf("testdata/complete.yaml does not set %s to another value than its default", path)
		}
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			t.Errorf("testdata/complete.yaml does not set %s", path)
		}
		for i := range v.Len() {
			unset(t, v.Index(i), reflect.Value{}, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		for i := range v.NumField() {
			f, d := v.Type().Field(i), reflect.Value{}
			name := f.Tag.Get("yaml")
			if name == "-" {
				continue
			}
			if name == "" {
				t.Errorf("the field %s.%s has no yaml tag", v.Type(), f.Name)
			}
			if def.IsValid() {
				d = def.Field(i)
			}
			unset(t, v.Field(i), d, strings.TrimPrefix(path+"."+name, "."))
		}
	}
}

func TestDefaultsFollowFromTheFile(t *testing.T) {
	c, err := Parse("t.yaml", []byte(`policy:
  providers: [{id: openai, base_url: "https://api.openai.com/v1", credential: "env:X"}]
  models: [{id: m, targets: [{provider: openai}]}]
  orgs: [{id: acme, budgets: [{amount_usd: 1, window: day}], limits: [{unit: tokens, amount: 5, per: 1m}]}]
`), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	b, l := c.Policy.Orgs[0].Budgets[0], c.Policy.Orgs[0].Limits[0]
	if b.ID != "org:acme:day" || b.Mode != "soft" || b.AmountUSD != 1_000_000_000 {
		t.Fatalf("unexpected budget: %+v", b)
	}
	if l.ID != "org:acme:tokens/1m0s" || l.Burst != 5 {
		t.Fatalf("unexpected limit: %+v", l)
	}
	if p := c.Policy.Providers[0]; p.API != "openai" || c.Policy.Models[0].DefaultOutputTokens != 1024 {
		t.Fatalf("unexpected provider or model: %+v, %+v", p, c.Policy.Models[0])
	}
}

func TestWholeNumbersAreDecimal(t *testing.T) {
	c, err := Parse("t.yaml", []byte("kafka: {partitions: 010}\nspool: {quota_bytes: 1_073_741_824}\n"), noEnv)
	if err != nil || c.Kafka.Partitions != 10 || c.Spool.QuotaBytes != 1<<30 {
		t.Fatalf("unexpected numbers: %+v, %v", c, err)
	}
}

func TestEnvironmentGoesBeforeTheFile(t *testing.T) {
	c, err := Parse("t.yaml", []byte(`gateway: {listen: "127.0.0.1:1", replica: one}
policy: {providers: [{id: open-ai.2, base_url: "https://a/v1", credential: "env:X"}]}`), env(map[string]string{
		"TALLYGATE_ADDR": "127.0.0.1:2", "TALLYGATE_ADMIN_ADDR": "127.0.0.1:3", "TALLYGATE_DATA": "/d", "TALLYGATE_REPLICA": "",
		"TALLYGATE_PRICES": "/p.yaml", "TALLYGATE_KAFKA_BROKERS": " a:1, b:2,", "TALLYGATE_CLICKHOUSE_URL": "http://c:1/d",
		"TALLYGATE_CONSUMERS_ADDR": "127.0.0.1:4", "TALLYGATE_PROVIDER_OPEN_AI_2_BASE_URL": "http://127.0.0.1:8090/v1",
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Gateway.Listen, c.Gateway.AdminListen, c.Gateway.Data, c.Gateway.Replica, c.Gateway.PricesFile,
		c.Kafka.Brokers, c.ClickHouse.URL, c.Consumers.Listen, c.Policy.Providers[0].BaseURL, c.Policy.Providers[0].BaseURLOverride)
	want := fmt.Sprint("127.0.0.1:2", "127.0.0.1:3", "/d", "one", "/p.yaml",
		[]string{"a:1", "b:2"}, "http://c:1/d", "127.0.0.1:4", "https://a/v1", "http://127.0.0.1:8090/v1")
	if got != want {
		t.Fatalf("unexpected values; got %s; want %s", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	folder := t.TempDir()
	_, err := Load(filepath.Join(folder, "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "-config or TALLYGATE_CONFIG") {
		t.Fatalf("unexpected error for a missing file: %v", err)
	}
	large := filepath.Join(folder, "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "is larger than 16777216 bytes") {
		t.Fatalf("unexpected error for a large file: %v", err)
	}
}

func TestSecretRef(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(" hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TALLYGATE_TEST_SECRET", "hush")
	t.Setenv("TALLYGATE_TEST_EMPTY", " ")
	for _, ref := range []SecretRef{"env:TALLYGATE_TEST_SECRET", SecretRef("file:" + file)} {
		if got, err := ref.Resolve(); err != nil || got != "hush" {
			t.Fatalf("unexpected secret of %s; got %q, %v; want hush", ref, got, err)
		}
	}
	for ref, want := range map[SecretRef]string{
		"env:TALLYGATE_TEST_NONE":        `the environment variable is not set`,
		"env:TALLYGATE_TEST_EMPTY":       `it is empty`,
		SecretRef("file:" + file + "x"):  `no such file`,
		"tg_live_this-is-the-key-itself": `must be given as env:NAME or file:PATH`,
	} {
		_, err := ref.Resolve()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error for a reference; got %v; want %q", err, want)
		}
		if strings.Contains(err.Error(), "itself") {
			t.Fatalf("the error shows the secret: %v", err)
		}
	}
}
