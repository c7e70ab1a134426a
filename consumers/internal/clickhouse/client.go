// Package clickhouse writes to ClickHouse over HTTP: it migrates the tables, inserts
// batches under deduplication tokens, and says which errors waiting will mend.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

const (
	dialTimeout = 5 * time.Second
	// readTimeout bounds one statement; an insert of a full batch takes well under a second.
	readTimeout = 60 * time.Second
)

// Client is a pool of connections to one database. It never dials before it is used.
type Client struct {
	conn     driver.Conn
	database string
	options  *clickhouse.Options
}

// databaseRE is what a database's name may be; it goes into statements unquoted.
var databaseRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Open takes http://user:password@host:port/database. It fails only if the URL is wrong.
func Open(url string) (*Client, error) {
	opts, err := clickhouse.ParseDSN(url)
	if err != nil {
		return nil, fmt.Errorf("cannot read clickhouse.url: %w; it must be http://user:password@host:port/database", err)
	}
	if opts.Protocol != clickhouse.HTTP {
		return nil, fmt.Errorf("cannot use clickhouse.url: its scheme must be http or https, for ClickHouse's HTTP interface")
	}
	if opts.Auth.Database == "" {
		opts.Auth.Database = "tallygate"
	}
	if !databaseRE.MatchString(opts.Auth.Database) {
		return nil, fmt.Errorf("cannot use clickhouse.url: the database's name %q must be of letters, digits and underscores", opts.Auth.Database)
	}
	opts.DialTimeout, opts.ReadTimeout = dialTimeout, readTimeout
	opts.MaxOpenConns, opts.MaxIdleConns = 16, 16
	opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	opts.ClientInfo.Products = append(opts.ClientInfo.Products, struct{ Name, Version string }{"tallygate-consumers", "1"})
	opts.Logger = slog.New(slog.DiscardHandler)
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot use clickhouse.url: %w", err)
	}
	return &Client{conn: conn, database: opts.Auth.Database, options: opts}, nil
}

// Close ends all connections.
func (c *Client) Close() error { return c.conn.Close() }

// Database is the name of the database.
func (c *Client) Database() string { return c.database }

// unknownDatabase is ClickHouse's error code for a database that does not exist.
const unknownDatabase = 81

// Ping says if ClickHouse answers. That the database does not exist is an answer: the
// migrator makes it.
func (c *Client) Ping(ctx context.Context) error {
	err := c.conn.Ping(ctx)
	var ex *proto.Exception
	if errors.As(err, &ex) && ex.Code == unknownDatabase {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot reach ClickHouse at %s: %w", c.options.Addr[0], err)
	}
	return nil
}

// Exec implements projection.Executor.
func (c *Client) Exec(ctx context.Context, query string, args ...any) error {
	return c.conn.Exec(ctx, query, args...)
}

// Query reads rows.
func (c *Client) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	return c.conn.Query(ctx, query, args...)
}

// QueryRow reads one row.
func (c *Client) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	return c.conn.QueryRow(ctx, query, args...)
}
