package config

import "strings"

// environment stands for the file in mistakes whose value came from a variable.
const environment = "environment"

// overrides are the environment variables that go before the file.
var overrides = []struct {
	variable, field string
	set             func(c *Config, value string)
}{
	{"TALLYGATE_ADDR", "gateway.listen", func(c *Config, v string) { c.Gateway.Listen = v }},
	{"TALLYGATE_ADMIN_ADDR", "gateway.admin_listen", func(c *Config, v string) { c.Gateway.AdminListen = v }},
	{"TALLYGATE_DATA", "gateway.data", func(c *Config, v string) { c.Gateway.Data = v }},
	{"TALLYGATE_REPLICA", "gateway.replica", func(c *Config, v string) { c.Gateway.Replica = v }},
	{"TALLYGATE_PRICES", "gateway.prices_file", func(c *Config, v string) { c.Gateway.PricesFile = v }},
	{"TALLYGATE_KAFKA_BROKERS", "kafka.brokers", func(c *Config, v string) { c.Kafka.Brokers = splitList(v) }},
	{"TALLYGATE_CLICKHOUSE_URL", "clickhouse.url", func(c *Config, v string) { c.ClickHouse.URL = v }},
	{"TALLYGATE_CONSUMERS_ADDR", "consumers.listen", func(c *Config, v string) { c.Consumers.Listen = v }},
}

// override applies the environment and returns which variable set which field.
// Variables that are empty count as not set.
func override(c *Config, lookup func(string) (string, bool)) map[string]string {
	set := map[string]string{}
	for _, o := range overrides {
		if v, ok := lookup(o.variable); ok && v != "" {
			o.set(c, v)
			set[o.field] = o.variable
		}
	}
	if brokers, ok := set["kafka.brokers"]; ok {
		for i := range c.Kafka.Brokers {
			set[where{path: "kafka.brokers"}.index(i).path] = brokers
		}
	}
	for i := range c.Policy.Providers {
		p := &c.Policy.Providers[i]
		if v, ok := lookup(p.BaseURLVariable()); ok && v != "" {
			p.BaseURLOverride = v
			set[p.BaseURLVariable()] = p.BaseURLVariable()
		}
	}
	return set
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
