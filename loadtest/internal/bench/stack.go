package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/tallygate/tallygate/loadtest/internal/load"
	"github.com/tallygate/tallygate/schemas/freeport"
	"github.com/tallygate/tallygate/schemas/key"
)

// Targets of a measurement. The simulator itself is one: what a call takes without
// anything between.
const (
	targetDirect  = "direct"
	targetBare    = "bare"
	targetGateway = "gateway"
)

// gatewayConfig lets everything pass, but every rule is asked: a budget at each of
// four levels, a request and a token limit.
const gatewayConfig = `gateway:
  listen: %[1]s
  admin_listen: %[2]s
  data: %[3]s
  replica: bench
  pepper: env:TALLYGATE_BENCH_PEPPER
  upstream: {allow_private: true}
kafka:
  brokers: [%[4]s]
policy:
  providers:
    - {id: openai, base_url: "http://%[5]s/v1", credential: "env:TALLYGATE_BENCH_PROVIDER_KEY"}
  models:
    - {id: gpt-5-mini, targets: [{provider: openai}]}
  orgs:
    - id: bench
      budgets: [{amount_usd: 1000000, window: month}]
      teams:
        - id: bench-team
          budgets: [{amount_usd: 1000000, window: month}]
          apps:
            - id: bench-app
              budgets: [{amount_usd: 1000000, window: day}]
              keys:
                - id: bench-key
                  secret: env:TALLYGATE_BENCH_KEY
                  models: ["*"]
                  budgets: [{amount_usd: 1000000, window: day}]
                  limits:
                    - {unit: requests, amount: 1000000000, per: 1s}
                    - {unit: tokens, amount: 1000000000000, per: 1s}
`

// stack is everything that one phase measures.
type stack struct {
	targets    map[string]load.Target
	companions []string
}

// startStack starts the programs: the two targets on one set of processors, what
// serves them on another.
func (b *bench) startStack(ctx context.Context, targetCPUs, otherCPUs []int) (*stack, error) {
	s := &stack{targets: map[string]load.Target{}}
	simulator, err := b.start(otherCPUs, nil, "simulator", "-addr", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	simulatorAddr, err := simulator.address(ctx)
	if err != nil {
		return nil, err
	}
	s.add(targetDirect, simulatorAddr, "", simulator)
	bare, err := b.start(targetCPUs, nil, "bareproxy", "-addr", "127.0.0.1:0", "-upstream", simulatorAddr)
	if err != nil {
		return nil, err
	}
	bareAddr, err := bare.address(ctx)
	if err != nil {
		return nil, err
	}
	s.add(targetBare, bareAddr, "", bare)
	kafka, err := b.start(otherCPUs, nil, "kafkalocal", "-addr", "127.0.0.1:0", "-data", filepath.Join(b.dir, "kafka"))
	if err != nil {
		return nil, err
	}
	kafkaAddr, err := kafka.address(ctx)
	if err != nil {
		return nil, err
	}
	s.companions = append(s.companions, pid(simulator), pid(kafka))
	return s, b.startGateway(ctx, s, targetCPUs, kafkaAddr, simulatorAddr)
}

func (b *bench) startGateway(ctx context.Context, s *stack, cpus []int, kafkaAddr, simulatorAddr string) error {
	addr, err := freeport.Addr()
	if err != nil {
		return err
	}
	admin, err := freeport.Addr()
	if err != nil {
		return err
	}
	var pepper [32]byte
	if _, err := rand.Read(pepper[:]); err != nil {
		return fmt.Errorf("cannot make a pepper: %w", err)
	}
	secret := key.New()
	config := filepath.Join(b.dir, "gateway.yaml")
	text := fmt.Sprintf(gatewayConfig, addr, admin, strconv.Quote(filepath.Join(b.dir, "gateway")), kafkaAddr, simulatorAddr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("cannot write the gateway's configuration: %w", err)
	}
	env := []string{
		"TALLYGATE_CONFIG=", "TALLYGATE_ADDR=", "TALLYGATE_ADMIN_ADDR=", "TALLYGATE_DATA=", "TALLYGATE_KAFKA_BROKERS=", "TALLYGATE_PROVIDER_OPENAI_BASE_URL=",
		"TALLYGATE_BENCH_PEPPER=" + hex.EncodeToString(pepper[:]), "TALLYGATE_BENCH_KEY=" + secret, "TALLYGATE_BENCH_PROVIDER_KEY=sk-bench",
	}
	gateway, err := b.start(cpus, env, "gateway", "-config", config)
	if err != nil {
		return err
	}
	s.add(targetGateway, addr, secret, gateway)
	return gateway.answers(ctx, "http://"+admin+"/readyz")
}

func (s *stack) add(name, addr, secret string, p *process) {
	s.targets[name] = load.Target{Name: name, URL: "http://" + addr, Key: secret, PID: p.cmd.Process.Pid}
}

func pid(p *process) string { return strconv.Itoa(p.cmd.Process.Pid) }
