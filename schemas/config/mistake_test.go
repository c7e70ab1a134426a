package config

import (
	"strings"
	"testing"
)

// mistakes fails unless a text has just these mistakes, given by how they begin.
func mistakes(t *testing.T, text string, lookup func(string) (string, bool), want ...string) {
	t.Helper()
	_, err := Parse("t.yaml", []byte(text), lookup)
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("unexpected mistakes in\n%s\ngot\n%s\nwant\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestMistakesOfShape(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		mistakes(t, text, noEnv, want...)
	}
	f("gateway: [\n", `t.yaml:`)
	f("\tgateway: {}\n", `t.yaml:1: found character that cannot start any token`)
	f("- a\n", `t.yaml:1: must be a mapping of fields, got a list`)
	f("gateway: 5\n", `t.yaml:1: gateway: must be a mapping of fields, got "5"`)
	f("{}\n---\n{}\n", `t.yaml:2: a second YAML document`)
	f("gatewya: {}\n", `t.yaml:1: gatewya: unknown field`)
	f("gateway:\n  bodyLimitBytes: 5\n", `t.yaml:2: gateway.bodyLimitBytes: unknown field; did you mean "body_limit_bytes"?`)
	f("spool:\n  sync: never\n  sync: always\n", `t.yaml:3: spool.sync: stands twice; first in line 2`)
	f("gateway:\n  listen:\n", `t.yaml:2: gateway.listen: has no value; remove the line for the default`)
	f("kafka:\n  brokers: a:1\n", `t.yaml:2: kafka.brokers: must be a list, got "a:1"`)
	f("kafka:\n  brokers:\n    - a:1\n    -\n", `t.yaml:4: kafka.brokers[1]: is empty`)
	f("policy:\n  orgs:\n    - acme\n", `t.yaml:3: policy.orgs[0]: must be a mapping of fields, got "acme"`)
	f("gateway:\n  listen: {a: b}\n", `t.yaml:2: gateway.listen: must be text, got a mapping`)
	f("{[a]: 1}\n", `t.yaml:1: unknown field`)
	// What YAML's own rules would take for something else.
	f("kafka: {partitions: 1.9}\n", `t.yaml:1: kafka.partitions: must be a whole number, got "1.9"`)
	f("kafka: {partitions: 010, replication: 0x1}\n", `t.yaml:1: kafka.replication: must be a whole number, got "0x1"`)
	f("kafka: {partitions: 1e2}\n", `t.yaml:1: kafka.partitions: must be a whole number, got "1e2"`)
	f("kafka: {partitions: 99999999999999999999}\n", `t.yaml:1: kafka.partitions: must be a whole number`)
	f("kafka: {partitions: \"12\"}\n", `t.yaml:1: kafka.partitions: must be a whole number`)
	f("kafka: {create_topics: yes}\n", `t.yaml:1: kafka.create_topics: must be true or false, got "yes"`)
	f("gateway: {read_timeout: 60}\n", `t.yaml:1: gateway.read_timeout: must be a duration such as 50ms or 2m, got "60"`)
	// Two values in one line are told apart.
	f("kafka: {partitions: x, replication: y}\n",
		`t.yaml:1: kafka.partitions: must be a whole number, got "x"`, `t.yaml:1: kafka.replication: must be a whole number, got "y"`)
}

func TestAliasesAreRefused(t *testing.T) {
	mistakes(t, "gateway: &g {}\n", noEnv, `t.yaml:1: gateway: anchors and aliases are not supported`)
	mistakes(t, "spool:\n  <<: {sync: never}\n", noEnv, `t.yaml:2: spool.<<: unknown field`)
	// Nine aliases of nine aliases of…: must be refused at once, not unfolded.
	var b strings.Builder
	b.WriteString("kafka:\n  brokers: &a0 [x:1]\n")
	for i := range 30 {
		b.WriteString("x" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ": &a" + strings.Repeat("i", i+1) + " [" +
			strings.TrimSuffix(strings.Repeat("*a"+zeroOr(i)+",", 9), ",") + "]\n")
	}
	if _, err := Parse("t.yaml", []byte(b.String()), noEnv); err == nil || !strings.Contains(err.Error(), "anchors and aliases are not supported") {
		t.Fatalf("unexpected error: %v", err)
	}
}

func zeroOr(i int) string {
	if i == 0 {
		return "0"
	}
	return strings.Repeat("i", i)
}

func TestMistakesOfProcesses(t *testing.T) {
	mistakes(t, `gateway:
  listen: 8080
  admin_listen: 127.0.0.1:70000
  data: ""
  pepper: hunter2
  body_limit_bytes: 1
  read_timeout: 1ms
  upstream:
    total_timeout: 1s
    first_byte_timeout: 2s
spool:
  quota_bytes: 0
  sync: sometimes
kafka:
  brokers: []
  replication: 1
  min_insync: 2
clickhouse:
  url: tcp://user:hunter2@host:9000
consumers:
  batch_rows: 0
`, noEnv,
		`t.yaml:2: gateway.listen: must be host:port, got "8080"`,
		`t.yaml:3: gateway.admin_listen: must end in a port from 0 to 65535`,
		`t.yaml:4: gateway.data: must name a folder`,
		`t.yaml:5: gateway.pepper: must be a reference to a secret, env:NAME or file:PATH, never the secret itself`,
		`t.yaml:6: gateway.body_limit_bytes: must be from 1024 to 1073741824, got 1`,
		`t.yaml:7: gateway.read_timeout: must be from 100ms to 1h0m0s, got 1ms`,
		`t.yaml:8: gateway.upstream.chunk_timeout: must be from 10ms to 1s, got 1m0s`,
		`t.yaml:10: gateway.upstream.first_byte_timeout: must be from 10ms to 1s, got 2s`,
		`t.yaml:12: spool.quota_bytes: must be at least two segments of 67108864 bytes, got 0`,
		`t.yaml:13: spool.sync: must be one of always, interval, never, got "sometimes"`,
		`t.yaml:15: kafka.brokers: must name at least one broker`,
		`t.yaml:17: kafka.min_insync: must be from 1 to 1, got 2`,
		`t.yaml:19: clickhouse.url: must be a URL with the scheme http or https and a host, got "tcp://user:xxxxx@host:9000"`,
		`t.yaml:21: consumers.batch_rows: must be from 1 to 1000000, got 0`,
	)
}

func TestMistakesOfPolicy(t *testing.T) {
	mistakes(t, `policy:
  providers:
    - id: openai
      api: smoke-signals
      base_url: https://host/v1?key=hunter2
    - {id: openai, base_url: "://", credential: "env:"}
  models:
    - id: "*"
      targets: []
    - id: m
      targets: [{provider: opneai}]
      default_output_tokens: 10000001
  orgs:
    - id: _system
      budgets:
        - {amount_usd: 0, window: fortnight, mode: hard}
        - {amount_usd: 1.0000000001, window: day}
    - id: acme
      teams:
        - id: t
          apps:
            - id: a
              limits:
                - {unit: bytes, amount: 0, per: 1500ms}
              keys:
                - id: k
                  secret: "env:K"
                  models: [m, n, "*"]
                  expires_at: tomorrow
                - {id: k, secret: "env:K"}
                - secret: "env:K"
`, noEnv,
		`t.yaml:3: policy.providers[0].credential: must be a reference to a secret`,
		`t.yaml:4: policy.providers[0].api: must be one of `,
		`t.yaml:5: policy.providers[0].base_url: must not hold a secret in its query`,
		`t.yaml:6: policy.providers[1].id: "openai" is used twice; it stands at policy.providers[0].id already`,
		`t.yaml:6: policy.providers[1].base_url: must be a URL such as https://host/path`,
		`t.yaml:6: policy.providers[1].credential: must be a reference to a secret`,
		`t.yaml:8: policy.models[0].id: must be 1 to 127 letters, digits`,
		`t.yaml:9: policy.models[0].targets: must name at least one provider`,
		`t.yaml:11: policy.models[1].targets[0].provider: there is no provider "opneai"; declare it under policy.providers`,
		`t.yaml:12: policy.models[1].default_output_tokens: must be from 1 to 10000000, got 10000001`,
		`t.yaml:14: policy.orgs[0].id: names that begin with _ are reserved, got "_system"`,
		`t.yaml:16: policy.orgs[0].budgets[0].amount_usd: must be more than 0 dollars, got 0.00`,
		`t.yaml:16: policy.orgs[0].budgets[0].window: must be one of minute, hour, day, week, month, total, got "fortnight"`,
		`t.yaml:16: policy.orgs[0].budgets[0].mode: must be one of soft, got "hard"`,
		`t.yaml:17: policy.orgs[0].budgets[1].amount_usd: must be an amount in dollars such as 12.50, with at most nine decimals, got "1.0000000001"`,
		`t.yaml:24: policy.orgs[1].teams[0].apps[0].limits[0].unit: must be one of requests, tokens, got "bytes"`,
		`t.yaml:24: policy.orgs[1].teams[0].apps[0].limits[0].amount: must be from 1`,
		`t.yaml:24: policy.orgs[1].teams[0].apps[0].limits[0].per: must be whole seconds, got 1.5s`,
		`t.yaml:24: policy.orgs[1].teams[0].apps[0].limits[0].burst: must be from 1`,
		`t.yaml:28: policy.orgs[1].teams[0].apps[0].keys[0].models[1]: there is no model "n"`,
		`t.yaml:29: policy.orgs[1].teams[0].apps[0].keys[0].expires_at: must be a moment such as 2027-01-31T00:00:00Z, got "tomorrow"`,
		`t.yaml:30: policy.orgs[1].teams[0].apps[0].keys[1].id: "k" is used twice`,
		`t.yaml:31: policy.orgs[1].teams[0].apps[0].keys[2].id: must be 1 to 127`,
	)
}

func TestMistakesOfTheEnvironment(t *testing.T) {
	mistakes(t, `gateway: {listen: "127.0.0.1:1"}
policy: {providers: [{id: openai, base_url: "https://a/v1", credential: "env:X"}]}
`, env(map[string]string{
		"TALLYGATE_ADDR": "8080", "TALLYGATE_KAFKA_BROKERS": "good:1,bad", "TALLYGATE_PROVIDER_OPENAI_BASE_URL": "localhost",
	}),
		`environment: TALLYGATE_ADDR: must be host:port, got "8080"`,
		`environment: TALLYGATE_KAFKA_BROKERS: must be host:port, got "bad"`,
		`environment: TALLYGATE_PROVIDER_OPENAI_BASE_URL: must be a URL with the scheme http or https and a host`,
	)
}

func TestMistakesAreBounded(t *testing.T) {
	_, err := Parse("t.yaml", []byte("kafka:\n  brokers: ["+strings.Repeat("[],", 50_000)+"]\n"), noEnv)
	if n := strings.Count(err.Error(), "\n"); n != maxMistakes || !strings.Contains(err.Error(), "\nand ") {
		t.Fatalf("unexpected number of mistakes: %d", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("gateway:\n  listen: 127.0.0.1:1\nkafka: {brokers: [a:1], partitions: 3}\n"))
	f.Add([]byte("policy:\n  orgs: [{id: a, budgets: [{amount_usd: 1, window: day}]}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("t.yaml", data, noEnv)
		if (c == nil) == (err == nil) {
			t.Fatalf("a configuration or an error, not both or none: %v, %v", c, err)
		}
	})
}
