//go:build system

package system

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// What a call of the "dollar" key costs: 4000 output tokens of gpt-4o at 10 $ per
// million are 0.04 $, and the input adds less than 0.0001 $. So 24 calls fit into a
// dollar, if each hold is as good as its charge: max_tokens is what the answer has.
const (
	dollarTokens   = 4000
	dollarCallsMin = 20
	dollarCallsMax = 25
)

func (g *gateway) dollarCall() answer {
	g.stack.t.Helper()
	body := chatBody("gpt-4o", fmt.Sprintf("tokens=%d", dollarTokens), fmt.Sprintf(`"max_tokens":%d`, dollarTokens))
	a, err := g.request(http.MethodPost, "/v1/chat/completions", g.stack.keys["DOLLAR"], body)
	if err != nil {
		g.stack.t.Fatalf("the call to %s failed: %s", g.name, err)
	}
	return a
}

// spendDollar calls through a gateway until it refuses, and returns how many calls it served.
func (g *gateway) spendDollar() int {
	g.stack.t.Helper()
	served := 0
	for served <= dollarCallsMax {
		a := g.dollarCall()
		if a.status != http.StatusOK {
			wantBudgetDenial(g.stack.t, a)
			return served
		}
		served++
	}
	g.stack.t.Fatalf("the budget of 1 $ was not enforced: %d calls of 0.04 $ were served", served)
	return 0
}

func wantBudgetDenial(t *testing.T, a answer) {
	t.Helper()
	f, err := a.fault()
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusTooManyRequests || a.code() != "insufficient_quota" || f.Type != "insufficient_quota" {
		t.Fatalf("unexpected refusal; got %d %s; want 429 insufficient_quota", a.status, a.body)
	}
	if !strings.Contains(f.Message, "dollar-total") {
		t.Fatalf("the refusal does not name its rule: %s", f.Message)
	}
	if got := a.header.Get("x-should-retry"); got != "false" {
		t.Fatalf("unexpected x-should-retry; got %q; want false", got)
	}
}

// TestBudgetAcrossReplicas spends a budget through one gateway. Another one, which has
// served none of it, refuses too, as does the first one after it lost all it had on
// disk: what they know came from the log. The denial stands in the audit table.
func TestBudgetAcrossReplicas(t *testing.T) {
	s := start(t, options{})
	one, two := s.startGateway("gateway-1"), s.startGateway("gateway-2")

	if served := one.spendDollar(); served < dollarCallsMin {
		t.Fatalf("unexpected calls served for 1 $; got %d; want at least %d", served, dollarCallsMin)
	}
	s.balanceReaches(one, two)
	wantBudgetDenial(t, two.dollarCall())

	// A new life with nothing on disk: it must not start with a fresh dollar.
	one.stop(t)
	if err := os.RemoveAll(one.data); err != nil {
		t.Fatal(err)
	}
	one.start(t)
	wantBudgetDenial(t, one.dollarCall())

	s.becomes("SELECT countIf(outcome = 'ok') >= 20, countIf(outcome = 'denied') FROM requests FINAL WHERE key = 'dollar' AND operation = 'chat'", "1 3")
	s.becomes("SELECT DISTINCT rule, rule_kind, error_code, status, rule_limit FROM requests FINAL WHERE key = 'dollar' AND outcome = 'denied'",
		"dollar-total budget insufficient_quota 429 1000000000")
	s.becomes("SELECT rule_used + rule_asked > rule_limit FROM requests FINAL WHERE key = 'dollar' AND outcome = 'denied' LIMIT 1", "1")
	s.becomes("SELECT settled_nanos BETWEEN 960000000 AND 1000000000, held_nanos FROM balances WHERE budget = 'dollar-total'", "1 0")
}

// balanceReaches waits until two knows as much of the dollar as one.
func (s *stack) balanceReaches(one, two *gateway) {
	s.t.Helper()
	eventually(s.t, 15*time.Second, func() error {
		a, err := one.used("DOLLAR", "dollar-total")
		if err != nil {
			return err
		}
		b, err := two.used("DOLLAR", "dollar-total")
		if err == nil && a != b {
			err = fmt.Errorf("%s knows of %s $ used, %s of %s $", one.name, a, two.name, b)
		}
		return err
	})
}

// TestBudgetNeedsTheLedger is the counter-proof: with the ledger stopped, another
// replica knows nothing of what was spent. Were the test above to pass without the
// ledger, it would prove nothing.
func TestBudgetNeedsTheLedger(t *testing.T) {
	s := start(t, options{projections: "audit,rollup"})
	one, two := s.startGateway("gateway-1"), s.startGateway("gateway-2")

	if served := one.spendDollar(); served < dollarCallsMin {
		t.Fatalf("unexpected calls served for 1 $; got %d; want at least %d", served, dollarCallsMin)
	}
	// The audit table has it all, so the log did not just lag behind.
	s.becomes("SELECT countIf(outcome = 'denied') FROM requests FINAL WHERE key = 'dollar'", "1")
	time.Sleep(time.Second)
	if used, err := two.used("DOLLAR", "dollar-total"); err != nil || used != "0.00" {
		t.Fatalf("unexpected use known to a replica without a ledger; got %q, %v; want 0.00", used, err)
	}
	if a := two.dollarCall(); a.status != http.StatusOK {
		t.Fatalf("unexpected refusal without a ledger; got %d %s; want 200", a.status, a.body)
	}
}
