package stack

import (
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed welcome.txt
var welcomeText string

var welcomeTemplate = template.Must(template.New("welcome").Parse(welcomeText))

// devEnv are the variables for a developer's shell. Addresses are those that the
// stack takes, so that sourcing the file and starting again changes nothing.
func (st *Stack) devEnv() map[string]string {
	s := &st.settings
	env := map[string]string{
		apiKeyVariable: st.secrets[apiKeyVariable], demoKeyVariable: st.secrets[demoKeyVariable],
		adminTokenVariable: st.secrets[adminTokenVariable],
		"TALLYGATE_URL":    "http://" + reachable(s.Addr), "TALLYGATE_DATA": s.Data,
		"TALLYGATE_ADDR": s.Addr, "TALLYGATE_ADMIN_ADDR": s.AdminAddr, "TALLYGATE_CONSUMERS_ADDR": s.ConsumersAddr,
		"TALLYGATE_KAFKA_ADDR": s.KafkaAddr, "TALLYGATE_CLICKHOUSE_ADDR": s.ClickHouseAddr, "TALLYGATE_SIMULATOR_ADDR": s.SimulatorAddr,
	}
	if s.Brokers != "" {
		env["TALLYGATE_KAFKA_BROKERS"] = s.Brokers
	}
	if s.ClickHouseURL != "" {
		env["TALLYGATE_CLICKHOUSE_URL"] = s.ClickHouseURL
	}
	return env
}

// welcome says what runs where and how to call it.
func (st *Stack) welcome(devEnv string) {
	s := &st.settings
	provider := "OpenAI, with your OPENAI_API_KEY"
	switch {
	case s.simulates():
		provider = "the simulator at http://" + reachable(s.SimulatorAddr) + " (set OPENAI_API_KEY to call OpenAI)"
	case s.ProviderURL != "":
		provider = s.ProviderURL
	}
	err := welcomeTemplate.Execute(st.out, map[string]string{
		"URL": "http://" + reachable(s.Addr), "Admin": "http://" + reachable(s.AdminAddr), "Key": st.secrets[apiKeyVariable],
		"Brokers": s.brokers(), "ClickHouse": s.clickHouseText(), "Provider": provider, "DevEnv": devEnv, "Data": s.Data,
	})
	if err != nil {
		fmt.Fprintf(st.log, "cannot say how to call the gateway: %v\n", err)
	}
}
