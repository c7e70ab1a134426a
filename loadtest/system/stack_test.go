//go:build system

package system

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/schemas/key"
)

// stack is a whole Tallygate for one test.
type stack struct {
	t   *testing.T
	dir string
	// keys are the virtual keys by their names in testdata/tallygate.yaml.
	keys map[string]string
	env  map[string]string

	kafka, clickhouse, simulator, consumers *process
	kafkaAddr, simulatorAddr, consumersAddr string
	clickhouseAddr, database                string
	gateways                                []*gateway
}

// options change what a test starts.
type options struct {
	// projections are those that the consumers run; empty is all.
	projections string
	// config is a file in testdata; empty is tallygate.yaml.
	config string
	// without names processes that the test starts itself: "kafka", "clickhouse", "consumers".
	without []string
}

// start starts everything but gateways, and waits until it is ready.
func start(t *testing.T, o options) *stack {
	t.Helper()
	s := &stack{t: t, dir: makeDir(t), keys: makeKeys(), env: map[string]string{}}
	s.kafkaAddr, s.clickhouseAddr, s.simulatorAddr = freeAddr(t), freeAddr(t), freeAddr(t)
	s.database = "tallygate"
	config := o.config
	if config == "" {
		config = "tallygate.yaml"
	}
	configPath, err := filepath.Abs(filepath.Join("testdata", config))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(s.env, map[string]string{
		"TALLYGATE_CONFIG":                   configPath,
		"TALLYGATE_PEPPER":                   randomHex(32),
		"TALLYGATE_KAFKA_BROKERS":            s.kafkaAddr,
		"TALLYGATE_CLICKHOUSE_URL":           "http://" + s.clickhouseAddr + "/" + s.database,
		"TALLYGATE_PROVIDER_OPENAI_BASE_URL": "http://" + s.simulatorAddr + "/v1",
		"OPENAI_API_KEY":                     "sk-simulator",
	})
	for name, secret := range s.keys {
		s.env["KEY_"+name] = secret
	}

	s.kafka = s.newKafka()
	s.clickhouse = s.newProcess("clickhouse", "chlocal", nil, "-addr", s.clickhouseAddr, "-data", filepath.Join(s.dir, "clickhouse"))
	s.clickhouse.ready = answers200("http://" + s.clickhouseAddr + "/ping")
	s.simulator = s.newProcess("simulator", "simulator", nil, "-addr", s.simulatorAddr, "-require-key", s.env["OPENAI_API_KEY"])
	s.simulator.ready = answers200("http://" + s.simulatorAddr + "/stats")
	s.consumers = s.newConsumers(o.projections)

	s.simulator.start(t)
	if !slices.Contains(o.without, "kafka") {
		s.kafka.start(t)
	}
	if !slices.Contains(o.without, "clickhouse") {
		s.clickhouse.start(t)
		s.makeDatabase()
	}
	if !slices.Contains(o.without, "consumers") {
		s.consumers.start(t)
	}
	return s
}

// makeKeys makes the virtual keys that testdata/tallygate.yaml names.
func makeKeys() map[string]string {
	keys := map[string]string{}
	for _, name := range []string{
		"MAIN", "DOLLAR", "PENNILESS", "HURRIED_NODE", "HURRIED_PYTHON", "WORDY", "NARROW", "EXPIRED", "DISABLED", "GLOBEX", "INITECH",
	} {
		keys[name] = key.New()
	}
	return keys
}

func (s *stack) newConsumers(projections string) *process {
	s.consumersAddr = freeAddr(s.t)
	args := []string{}
	if projections != "" {
		args = append(args, "-projections", projections)
	}
	p := s.newProcess("consumers", "consumers", map[string]string{"TALLYGATE_CONSUMERS_ADDR": s.consumersAddr}, args...)
	p.ready = answers200("http://" + s.consumersAddr + "/readyz")
	return p
}

// newProcess makes a program of ours with the stack's environment, and ends it with the test.
func (s *stack) newProcess(name, program string, env map[string]string, args ...string) *process {
	all := maps.Clone(s.env)
	maps.Copy(all, env)
	list := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		// Nothing of the developer's own settings reaches a test.
		return strings.HasPrefix(kv, "TALLYGATE_") && !strings.HasPrefix(kv, "TALLYGATE_CACHE=") || strings.HasPrefix(kv, "OPENAI_")
	})
	for k, v := range all {
		list = append(list, k+"="+v)
	}
	p := &process{
		name: name, path: filepath.Join(bin, program), args: args, env: list,
		logPath: filepath.Join(s.dir, name+".log"),
		ready:   func() error { return nil },
	}
	s.t.Cleanup(p.cleanUp)
	return p
}

// gateway is a replica.
type gateway struct {
	*process
	stack *stack
	// data is its folder, url its data plane with the version, admin its admin listener.
	data, addr, url, admin string
}

// newGateway makes a replica with a data folder of its own.
func (s *stack) newGateway(name string) *gateway {
	g := &gateway{stack: s, data: filepath.Join(s.dir, name), addr: freeAddr(s.t)}
	adminAddr := freeAddr(s.t)
	g.url, g.admin = "http://"+g.addr, "http://"+adminAddr
	g.process = s.newProcess(name, "gateway", map[string]string{
		"TALLYGATE_ADDR": g.addr, "TALLYGATE_ADMIN_ADDR": adminAddr, "TALLYGATE_DATA": g.data, "TALLYGATE_REPLICA": name,
	})
	g.ready = answers200(g.admin + "/readyz")
	s.gateways = append(s.gateways, g)
	return g
}

// startGateway starts a replica and waits until it is ready.
func (s *stack) startGateway(name string) *gateway {
	s.t.Helper()
	g := s.newGateway(name)
	g.start(s.t)
	return g
}

// makeDir makes the test's folder, which stays if the test fails.
func makeDir(t *testing.T) string {
	t.Helper()
	parent := filepath.Join(root, ".cache", "system")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatalf("cannot make the folder for tests: %s", err)
	}
	dir, err := os.MkdirTemp(parent, strings.ReplaceAll(t.Name(), "/", "-")+"-")
	if err != nil {
		t.Fatalf("cannot make a folder for the test: %s", err)
	}
	// Registered first, so that it runs after all processes have ended.
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs and data are kept in %s", dir)
			showTails(t, dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cannot remove %q: %s", dir, err)
		}
	})
	return dir
}

func showTails(t *testing.T, dir string) {
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range logs {
		p := process{logPath: path}
		t.Logf("the end of %s:\n%s", filepath.Base(path), p.tail())
	}
}

func randomHex(n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(fmt.Sprintf("BUG: crypto/rand does not fail: %s", err))
	}
	return hex.EncodeToString(b)
}
