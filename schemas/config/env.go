package config

import "strings"

// overrides are the environment variables that go before the file.
var overrides = []struct {
	name string
	set  func(c *Config, value string)
}{
	{"TALLYGATE_ADDR", func(c *Config, v string) { c.Gateway.Listen = v }},
	{"TALLYGATE_ADMIN_ADDR", func(c *Config, v string) { c.Gateway.AdminListen = v }},
	{"TALLYGATE_DATA", func(c *Config, v string) { c.Gateway.Data = v }},
	{"TALLYGATE_REPLICA", func(c *Config, v string) { c.Gateway.Replica = v }},
	{"TALLYGATE_KAFKA_BROKERS", func(c *Config, v string) { c.Kafka.Brokers = splitList(v) }},
	{"TALLYGATE_CLICKHOUSE_URL", func(c *Config, v string) { c.ClickHouse.URL = v }},
	{"TALLYGATE_CONSUMERS_ADDR", func(c *Config, v string) { c.Consumers.Listen = v }},
}

// override applies the environment. An override that makes the tree invalid is
// found by Validate, under the field's name.
func override(c *Config, lookup func(string) (string, bool)) Mistakes {
	for _, o := range overrides {
		if v, ok := lookup(o.name); ok && v != "" {
			o.set(c, v)
		}
	}
	var m Mistakes
	for i := range c.Policy.Providers {
		p := &c.Policy.Providers[i]
		p.BaseURLOverride, _ = lookup(p.BaseURLVariable())
	}
	return m
}

func splitList(v string) []string {
	var out []string
	for _, s := range strings.Split(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
