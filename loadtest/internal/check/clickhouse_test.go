package check

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// startTables answers queries with the tables' rows, as ClickHouse would.
func startTables(t *testing.T, m *memory) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query := string(body)
		if user, password, _ := r.BasicAuth(); r.URL.Query().Get("database") != "tallygate" || user != "u" || password != "p" {
			http.Error(w, "Code: 516. DB::Exception: wrong user or database", http.StatusForbidden)
			return
		}
		switch {
		case !strings.HasSuffix(query, "\nFORMAT TabSeparated") || !strings.Contains(query, " FINAL"):
			http.Error(w, "Code: 62. DB::Exception: unexpected query", http.StatusBadRequest)
		case strings.Contains(query, "FROM events"):
			for _, r := range m.archive {
				fmt.Fprintf(w, "%d\t%d\t%016x\t1\n", r.Partition, r.Offset, r.Mark)
			}
		case strings.Contains(query, "FROM requests"):
			for _, r := range m.requests {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", r.ID, r.Owner.Org, r.Owner.Key, r.Outcome, r.Status, r.Sums.Calls, r.Sums.Input, r.Sums.Output, r.Sums.CostNanos)
			}
		case strings.Contains(query, "GROUP BY request_id"):
			for _, r := range m.ledger {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", r.ID, r.Held, r.Charged, r.CostNanos)
			}
		case strings.Contains(query, "GROUP BY budget"):
			for _, r := range m.budgets {
				fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", r.Budget, r.WindowStart, r.Held, r.Charged)
			}
		case strings.Contains(query, "FROM rollup_minute"):
			for _, r := range m.rollup {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", r.Owner.Org, r.Owner.Key, r.Minute, r.Sums.Calls, r.Sums.Input, r.Sums.Output, r.Sums.CostNanos)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return strings.Replace(srv.URL, "http://", "http://u:p@", 1) + "/tallygate"
}

func TestClickHouse(t *testing.T) {
	l := summed(goodLog(t))
	m := tablesOf(l)
	db, err := NewClickHouse(startTables(t, m))
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	var found Findings
	var table Table
	if err := l.CompareTables(context.Background(), db, &found, &table); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if found.Count("") != 0 {
		t.Fatalf("unexpected findings:\n%s", text(&found))
	}
	var out strings.Builder
	if err := table.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"log", "requests", "ledger", "rollup"} {
		if !strings.Contains(out.String(), source) {
			t.Fatalf("the table does not hold %q:\n%s", source, out.String())
		}
	}
	m.requests[0].Sums.CostNanos++
	found = Findings{}
	if err := l.CompareTables(context.Background(), db, &found, &table); err != nil || found.Count("requests: row differs") != 1 {
		t.Fatalf("a changed cost was not found: %v\n%s", err, text(&found))
	}
}

func TestClickHouseFailure(t *testing.T) {
	f := func(answer string, status int, want string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}))
		defer srv.Close()
		db, err := NewClickHouse(srv.URL + "/x")
		if err != nil {
			t.Fatal(err)
		}
		err = db.Requests(context.Background(), func(RequestRow) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected error; got %v; want one that holds %q", err, want)
		}
	}
	f("Code: 60. DB::Exception: Unknown table", 404, "status 404: Code: 60")
	f("a\tb\n", 200, "gives 2 columns where 9 are asked for")
	f(strings.Repeat("x\t", 8)+"x\n", 200, "cannot be read")
	if _, err := NewClickHouse("localhost:8123"); err == nil {
		t.Fatal("no error for an address without a scheme")
	}
}
