package chhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	chgo "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// nativeRevision writes Native blocks of revision 0, which is what the library
// gives, as blocks of the protocol revision that the client asked for: from some
// revisions on, a block has a head and each column a mark for its serialization.
func nativeRevision(w io.Writer, blocks []byte, revision uint64) error {
	reader := chgo.NewReader(bytes.NewReader(blocks))
	var out chgo.Buffer
	for {
		block := proto.Block{ServerContext: &column.ServerContext{Timezone: time.UTC}}
		err := block.Decode(reader, 0)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read a Native block of the library: %w", err)
		}
		out.Reset()
		if err := encodeBlock(&out, &block, revision); err != nil {
			return fmt.Errorf("cannot write a Native block of revision %d: %w", revision, err)
		}
		if _, err := w.Write(out.Buf); err != nil {
			return err
		}
	}
}

// encodeBlock appends a block. A column without rows has no data at all, not even
// the prefix that the driver's own encoder writes.
func encodeBlock(out *chgo.Buffer, block *proto.Block, revision uint64) error {
	if block.Rows() > 0 {
		return block.Encode(out, revision)
	}
	if err := block.EncodeHeader(out, revision); err != nil {
		return err
	}
	for _, c := range block.Columns {
		out.PutString(c.Name())
		out.PutString(string(c.Type()))
		if revision >= proto.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION {
			out.PutBool(false)
		}
	}
	return nil
}
