//go:generate go test . -run Reference -update

// Package config is the configuration of every Tallygate process: one YAML tree,
// with its fields, defaults and bounds. Decoding refuses what it does not know
// and reports all mistakes at once, each with file, line and field.
package config

// Config is the whole tree. Every process reads the same file and uses its part.
type Config struct {
	// Gateway is the hot path.
	Gateway Gateway `yaml:"gateway"`
	// Spool keeps events safe on disk until Kafka has them.
	Spool Spool `yaml:"spool"`
	// Kafka is where the log lives.
	Kafka Kafka `yaml:"kafka"`
	// ClickHouse is where the consumers write.
	ClickHouse ClickHouse `yaml:"clickhouse"`
	// Consumers are the projections.
	Consumers Consumers `yaml:"consumers"`
	// Policy says who may do what, where calls go and what they may cost.
	Policy Policy `yaml:"policy"`
}

// Default returns the configuration that an empty file gives.
func Default() *Config {
	return &Config{
		Gateway:    defaultGateway(),
		Spool:      defaultSpool(),
		Kafka:      defaultKafka(),
		ClickHouse: ClickHouse{URL: "http://127.0.0.1:8123/tallygate"},
		Consumers:  defaultConsumers(),
	}
}

// Validate returns every mistake in the tree, or none. Lines are filled in by Load.
func (c *Config) Validate() Mistakes {
	var m Mistakes
	at := where{mistakes: &m}
	c.Gateway.validate(at.field("gateway"))
	c.Spool.validate(at.field("spool"))
	c.Kafka.validate(at.field("kafka"))
	c.ClickHouse.validate(at.field("clickhouse"))
	c.Consumers.validate(at.field("consumers"))
	c.Policy.validate(at.field("policy"))
	return m
}
