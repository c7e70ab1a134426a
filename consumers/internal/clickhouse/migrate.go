package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	schema "github.com/tallygate/tallygate/schemas/clickhouse"
)

// ErrSchema is wrapped by errors of the schema that waiting does not mend.
var ErrSchema = errors.New("the schema in ClickHouse does not fit this version of Tallygate")

// versions notes the migrations that were applied. The row with the highest id counts,
// so that going down and up again leaves a history.
const versions = `
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32,
    name       String,
    checksum   String,
    applied    Bool,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (version, applied_at)
SETTINGS fsync_after_insert = 1`

// Migrator brings a database to a version of the schema. Two may run at once: each
// statement does nothing when it was run before, so the second one repeats the first.
type Migrator struct {
	client     *Client
	migrations []schema.Migration
}

// NewMigrator returns a migrator of the client's database.
func NewMigrator(c *Client) (*Migrator, error) {
	all, err := schema.Migrations()
	if err != nil {
		return nil, err
	}
	return &Migrator{client: c, migrations: all}, nil
}

// Up makes the database if it is missing and applies every migration that is not applied.
func (m *Migrator) Up(ctx context.Context) error {
	if err := m.makeDatabase(ctx); err != nil {
		return err
	}
	applied, err := m.Applied(ctx)
	if err != nil {
		return err
	}
	for _, step := range m.migrations {
		sum, ok := applied[step.Version]
		if ok && sum != checksum(step) {
			return fmt.Errorf("%w: migration %04d_%s was changed after it had been applied to database %q; possible solutions: "+
				"run the version of Tallygate that applied it; use another database", ErrSchema, step.Version, step.Name, m.client.database)
		}
		if ok {
			continue
		}
		if err := m.run(ctx, step, step.Up, true); err != nil {
			return err
		}
		slog.Info("migrated the schema", "database", m.client.database, "version", step.Version, "name", step.Name)
	}
	return nil
}

// Down takes back every migration above a version, the latest first. With them goes
// what their tables held. No other migrator may run meanwhile.
func (m *Migrator) Down(ctx context.Context, version int) error {
	applied, err := m.Applied(ctx)
	if err != nil {
		return err
	}
	for i := len(m.migrations) - 1; i >= 0; i-- {
		step := m.migrations[i]
		if _, ok := applied[step.Version]; !ok || step.Version <= version {
			continue
		}
		if err := m.run(ctx, step, step.Down, false); err != nil {
			return err
		}
	}
	return nil
}

// Applied returns the checksums of the migrations that are applied, by version.
func (m *Migrator) Applied(ctx context.Context) (map[int]string, error) {
	rows, err := m.client.Query(ctx, "SELECT version, argMax(checksum, applied_at), argMax(applied, applied_at) FROM schema_migrations GROUP BY version")
	if err != nil {
		return nil, fmt.Errorf("cannot read the schema's version in database %q: %w", m.client.database, err)
	}
	defer rows.Close()
	out := map[int]string{}
	for rows.Next() {
		var version uint32
		var sum string
		var applied bool
		if err := rows.Scan(&version, &sum, &applied); err != nil {
			return nil, fmt.Errorf("cannot read the schema's version in database %q: %w", m.client.database, err)
		}
		if applied {
			out[int(version)] = sum
		}
	}
	return out, rows.Err()
}

// makeDatabase connects to the server's own database, since ours may not exist.
func (m *Migrator) makeDatabase(ctx context.Context) error {
	opts := *m.client.options
	opts.Auth.Database = "default"
	conn, err := clickhouse.Open(&opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+m.client.database); err != nil {
		return fmt.Errorf("cannot make the database %q: %w", m.client.database, err)
	}
	if err := m.client.Exec(ctx, versions); err != nil {
		return fmt.Errorf("cannot make the table schema_migrations in database %q: %w", m.client.database, err)
	}
	return nil
}

func (m *Migrator) run(ctx context.Context, step schema.Migration, statements []string, up bool) error {
	for _, s := range statements {
		if err := m.client.Exec(ctx, s); err != nil {
			return fmt.Errorf("cannot run migration %04d_%s: %w", step.Version, step.Name, err)
		}
	}
	if err := m.client.Exec(ctx, "INSERT INTO schema_migrations (version, name, checksum, applied) VALUES (?, ?, ?, ?)",
		step.Version, step.Name, checksum(step), up); err != nil {
		return fmt.Errorf("cannot note migration %04d_%s: %w", step.Version, step.Name, err)
	}
	return nil
}

// checksum is of the statements alone, so that comments may be improved.
func checksum(m schema.Migration) string {
	sum := sha256.Sum256([]byte(strings.Join(m.Up, ";\n")))
	return hex.EncodeToString(sum[:])
}
