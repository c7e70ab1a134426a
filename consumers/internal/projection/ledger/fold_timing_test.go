package ledger_test

import (
	"testing"

	"github.com/tallygate/tallygate/consumers/internal/projection"
	"github.com/tallygate/tallygate/consumers/internal/projection/ledger"
	"github.com/tallygate/tallygate/consumers/internal/projection/projectiontest"
)

// BenchmarkFold is what one partition's ledger spends per record: reading it, its
// hash included, and folding it. Compare commits with benchstat over -count 10.
func BenchmarkFold(b *testing.B) {
	w := projectiontest.Random(b, 1, 5000)
	var bytes int64
	for _, rec := range w.Records {
		bytes += int64(len(rec.Bytes))
	}
	b.ReportAllocs()
	b.SetBytes(bytes / int64(len(w.Records)))
	f := ledger.New(w.Partition)
	for i := 0; b.Loop(); i++ {
		if i%len(w.Records) == 0 {
			f = ledger.New(w.Partition)
		}
		old := w.Records[i%len(w.Records)]
		rec, err := projection.Read(old.Topic, old.Partition, old.Offset, old.AppendedAt, old.Bytes)
		if err != nil {
			b.Fatal(err)
		}
		f.Apply(rec)
	}
}
