package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	readyTimeout = 2 * time.Minute
	readyPause   = 50 * time.Millisecond
	// attemptTimeout bounds one look.
	attemptTimeout = 3 * time.Second
)

// waitReady looks at a part until it is ready, a part has died, or it takes too long.
func (st *Stack) waitReady(ctx context.Context, p step) error {
	if p.ready == nil {
		return nil
	}
	dead := st.firstDead()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, attemptTimeout)
		err := p.ready(attempt)
		done()
		if err == nil {
			return nil
		}
		select {
		case c := <-dead:
			return c.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; see %s/logs", p.name, readyTimeout, err, st.settings.Data)
		case <-time.After(readyPause):
		}
	}
}

func kafkaReady(brokers string) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
		if err != nil {
			return fmt.Errorf("cannot make a Kafka client: %w", err)
		}
		defer client.Close()
		return client.Ping(ctx)
	}
}

func clickHouseReady(text string) func(context.Context) error {
	return func(ctx context.Context) error {
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		return get(ctx, u.Scheme+"://"+u.Host+"/ping")
	}
}

func httpReady(address string) func(context.Context) error {
	return func(ctx context.Context) error { return get(ctx, address) }
}

func get(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return do(r)
}

// createDatabase makes the database that the URL's path names, if it is not there.
func createDatabase(ctx context.Context, text string) error {
	u, err := url.Parse(text)
	if err != nil {
		// The text is not shown: it may hold a password.
		return fmt.Errorf("cannot read TALLYGATE_CLICKHOUSE_URL: it must be http://user:password@host:port/database")
	}
	database := strings.Trim(u.Path, "/")
	if database == "" {
		database = "default"
	}
	sql := "CREATE DATABASE IF NOT EXISTS `" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(database) + "`"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.Scheme+"://"+u.Host+"/", strings.NewReader(sql))
	if err != nil {
		return fmt.Errorf("cannot create the database %q: %w", database, err)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		r.Header.Set("X-ClickHouse-User", u.User.Username())
		r.Header.Set("X-ClickHouse-Key", password)
	}
	if err := do(r); err != nil {
		return fmt.Errorf("cannot create the database %q: %w", database, err)
	}
	return nil
}

// do sends a request and wants a 200.
func do(r *http.Request) error {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", r.URL.Redacted(), answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
