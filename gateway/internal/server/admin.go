package server

import (
	"encoding/json"
	"net/http"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
)

// Check is one thing that must hold before the gateway takes calls.
type Check struct {
	Name string
	// Problem returns what is missing and what to do, or "".
	Problem func() string
}

// Admin returns the handler of the admin listener: /healthz (alive), /readyz
// (takes calls, else 503 with the reasons) and /metrics (Prometheus text).
func Admin(checks []Check) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		problems := map[string]string{}
		for _, c := range checks {
			if p := c.Problem(); p != "" {
				problems[c.Name] = p
			}
		}
		if len(problems) > 0 {
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "problems": problems})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		vm.WritePrometheus(w, true)
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
