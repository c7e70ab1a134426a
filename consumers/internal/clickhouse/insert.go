package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/tallygate/tallygate/consumers/internal/projection"
)

// ErrRejected is wrapped by errors that say that the rows themselves cannot be
// stored: a repetition fails the same way. Any other error is worth another try.
var ErrRejected = errors.New("ClickHouse rejected the rows")

// rejections are ClickHouse's error codes for values that do not fit. A table or
// column that is missing is not among them: that is mended by a migration.
var rejections = []int32{
	6,   // CANNOT_PARSE_TEXT
	27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	41,  // CANNOT_PARSE_DATETIME
	53,  // TYPE_MISMATCH
	69,  // ARGUMENT_OUT_OF_BOUND
	70,  // CANNOT_CONVERT_TYPE
	72,  // CANNOT_PARSE_NUMBER
	117, // INCORRECT_DATA
	321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	376, // CANNOT_PARSE_UUID
	469, // VIOLATED_CONSTRAINT
}

// Insert stores rows under a token: the rows of one table and one month are one
// insert, all or nothing. The token must determine the rows, because ClickHouse drops
// what comes under a token that it has seen, and reports success. It may be called again
// with the same token and rows, whatever became of the first call.
func (c *Client) Insert(ctx context.Context, token string, rows []projection.Row) error {
	for _, part := range partsOf(rows) {
		if err := c.insertPart(ctx, fmt.Sprintf("%s:%s:%d", token, part.table, part.month), part); err != nil {
			return fmt.Errorf("cannot insert %d rows into %s: %w", len(part.rows), part.table, err)
		}
	}
	return nil
}

// part is the rows of a batch that fall into one partition of one table.
type part struct {
	table string
	month int
	rows  []projection.Row
}

// partsOf keeps the order of the rows, so that the same rows always give the same parts.
func partsOf(rows []projection.Row) []part {
	var parts []part
	for _, r := range rows {
		table, month := r.Table(), r.Month()
		i := slices.IndexFunc(parts, func(p part) bool { return p.table == table && p.month == month })
		if i < 0 {
			i = len(parts)
			parts = append(parts, part{table: table, month: month})
		}
		parts[i].rows = append(parts[i].rows, r)
	}
	return parts
}

func (c *Client) insertPart(ctx context.Context, token string, p part) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert":               0,
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
		// One block, or the token would cover only the first one.
		"max_insert_block_size":       len(p.rows) + 1,
		"min_insert_block_size_rows":  len(p.rows) + 1,
		"min_insert_block_size_bytes": 0,
	}))
	batch, err := c.conn.PrepareBatch(ctx, "INSERT INTO "+p.table)
	if err != nil {
		return classify(err)
	}
	defer batch.Close()
	for i, r := range p.rows {
		if err := batch.AppendStruct(r); err != nil {
			return fmt.Errorf("row %d: %w", i, classify(err))
		}
	}
	return classify(batch.Send())
}

// classify marks the errors that say that the rows cannot be stored.
func classify(err error) error {
	var ex *proto.Exception
	var conv *column.ColumnConverterError
	var col *column.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ex) && slices.Contains(rejections, ex.Code), errors.As(err, &conv), errors.As(err, &col):
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return err
}
