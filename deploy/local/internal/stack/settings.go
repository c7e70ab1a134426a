// Package stack starts a whole Tallygate on one machine, as ordinary processes: the
// log, ClickHouse, a stand-in for the providers, the consumers and the gateway. It
// watches them and stops them in order.
package stack

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tallygate/tallygate/deploy/local/internal/process"
	"github.com/tallygate/tallygate/schemas/config"
)

// Settings say what runs where. They come from the environment.
type Settings struct {
	// Addr and AdminAddr are the gateway's, ConsumersAddr the consumers'.
	Addr, AdminAddr, ConsumersAddr string
	// KafkaAddr, ClickHouseAddr and SimulatorAddr are those of the embedded ones.
	KafkaAddr, ClickHouseAddr, SimulatorAddr string
	// Data is the folder that everything is kept in, absolute.
	Data string
	// Config is the configuration file, absolute.
	Config string
	// Brokers are those of a Kafka cluster to use instead of the embedded one, or empty.
	Brokers string
	// ClickHouseURL is that of a server to use instead of the embedded one, or empty.
	ClickHouseURL string
	// ClickHouseBinary is a clickhouse program on the PATH, or empty.
	ClickHouseBinary string
	// ProviderKey is OPENAI_API_KEY, ProviderURL its provider's base URL; without
	// either, the simulator stands in.
	ProviderKey, ProviderURL string
	// Bin is the folder of the programs.
	Bin string
}

const providerURLVariable = "TALLYGATE_PROVIDER_OPENAI_BASE_URL"

// FromEnvironment reads the settings.
func FromEnvironment() (Settings, error) {
	or := func(name, otherwise string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	s := Settings{
		Addr: or("TALLYGATE_ADDR", "127.0.0.1:8080"), AdminAddr: or("TALLYGATE_ADMIN_ADDR", "127.0.0.1:8081"),
		ConsumersAddr: or("TALLYGATE_CONSUMERS_ADDR", "127.0.0.1:8082"),
		KafkaAddr:     or("TALLYGATE_KAFKA_ADDR", "127.0.0.1:9092"), ClickHouseAddr: or("TALLYGATE_CLICKHOUSE_ADDR", "127.0.0.1:8123"),
		SimulatorAddr: or("TALLYGATE_SIMULATOR_ADDR", "127.0.0.1:8090"),
		Brokers:       os.Getenv("TALLYGATE_KAFKA_BROKERS"), ClickHouseURL: os.Getenv("TALLYGATE_CLICKHOUSE_URL"),
		ProviderKey: os.Getenv("OPENAI_API_KEY"), ProviderURL: os.Getenv(providerURLVariable),
	}
	var err error
	if s.Data, err = filepath.Abs(or("TALLYGATE_DATA", "./.local")); err != nil {
		return s, fmt.Errorf("cannot find the data folder: %w", err)
	}
	if s.Config, err = filepath.Abs(or("TALLYGATE_CONFIG", "deploy/local/tallygate.yaml")); err != nil {
		return s, fmt.Errorf("cannot find the configuration: %w", err)
	}
	if _, err := os.Stat(s.Config); err != nil {
		return s, fmt.Errorf("cannot read the configuration: %w; start in the repository's root folder, or name the file in TALLYGATE_CONFIG", err)
	}
	if err := s.checkAddresses(); err != nil {
		return s, err
	}
	// All mistakes in the file show now, not in the log of a program.
	if _, err := config.Load(s.Config); err != nil {
		return s, err
	}
	if s.ClickHouseURL == "" {
		s.ClickHouseBinary, _ = exec.LookPath("clickhouse")
	}
	self, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("cannot find the programs: %w", err)
	}
	s.Bin = filepath.Dir(self)
	return s, nil
}

// listener is an address of the stack's own.
type listener struct{ what, addr, variable string }

func (s *Settings) listeners() []listener {
	l := []listener{
		{"gateway", s.Addr, "TALLYGATE_ADDR"},
		{"gateway's administration", s.AdminAddr, "TALLYGATE_ADMIN_ADDR"},
		{"consumers", s.ConsumersAddr, "TALLYGATE_CONSUMERS_ADDR"},
	}
	if s.Brokers == "" {
		l = append(l, listener{"Kafka", s.KafkaAddr, "TALLYGATE_KAFKA_ADDR"})
	}
	if s.ClickHouseURL == "" {
		l = append(l, listener{"ClickHouse", s.ClickHouseAddr, "TALLYGATE_CLICKHOUSE_ADDR"})
	}
	if s.simulates() {
		l = append(l, listener{"simulator", s.SimulatorAddr, "TALLYGATE_SIMULATOR_ADDR"})
	}
	return l
}

func (s *Settings) checkAddresses() error {
	seen := map[string]string{}
	for _, l := range s.listeners() {
		_, port, err := net.SplitHostPort(l.addr)
		if err != nil || port == "" || port == "0" {
			return fmt.Errorf("cannot use %s=%q: it must be host:port, with a port of its own", l.variable, l.addr)
		}
		if other, ok := seen[l.addr]; ok {
			return fmt.Errorf("cannot use %s=%q: %s has the same address", l.variable, l.addr, other)
		}
		seen[l.addr] = l.variable
	}
	return nil
}

// checkFree finds out which addresses are taken, before anything is started.
func (s *Settings) checkFree() error {
	for _, l := range s.listeners() {
		n, err := process.Listen(l.addr, l.variable)
		if err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
		n.Close()
	}
	return nil
}

// simulates tells whether calls go to the simulator.
func (s *Settings) simulates() bool { return s.ProviderKey == "" && s.ProviderURL == "" }

func (s *Settings) brokers() string {
	if s.Brokers != "" {
		return s.Brokers
	}
	return reachable(s.KafkaAddr)
}

func (s *Settings) clickHouseURL() string {
	if s.ClickHouseURL != "" {
		return s.ClickHouseURL
	}
	return "http://" + reachable(s.ClickHouseAddr) + "/tallygate"
}

// clickHouseText is the URL for people: without a password.
func (s *Settings) clickHouseText() string {
	u, err := url.Parse(s.clickHouseURL())
	if err != nil {
		return "TALLYGATE_CLICKHOUSE_URL"
	}
	return u.Redacted()
}

// environment returns what the programs run with.
func (s *Settings) environment(secrets Secrets) []string {
	own := map[string]string{
		"TALLYGATE_CONFIG": s.Config, "TALLYGATE_DATA": filepath.Join(s.Data, "gateway"),
		"TALLYGATE_ADDR": s.Addr, "TALLYGATE_ADMIN_ADDR": s.AdminAddr, "TALLYGATE_CONSUMERS_ADDR": s.ConsumersAddr,
		"TALLYGATE_KAFKA_BROKERS": s.brokers(), "TALLYGATE_CLICKHOUSE_URL": s.clickHouseURL(),
	}
	for name, value := range secrets {
		own[name] = value
	}
	switch {
	case s.simulates():
		own[providerURLVariable] = "http://" + reachable(s.SimulatorAddr) + "/v1"
		own["OPENAI_API_KEY"] = simulatorKey
	case s.ProviderKey == "":
		own["OPENAI_API_KEY"] = "unused"
	}
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if _, ok := own[name]; !ok {
			env = append(env, kv)
		}
	}
	for name, value := range own {
		env = append(env, name+"="+value)
	}
	return env
}

// simulatorKey is what the gateway shows the simulator, which takes any key.
const simulatorKey = "sk-simulator"

// reachable turns an address to listen on into one to call.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
