package spool

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallygate/tallygate/schemas/event"
)

// BenchmarkAppend measures one event of about 1 KiB, by many goroutines at once.
// To compare commits:
//
//	go test -run '^$' -bench Append -count 8 ./internal/spool > old.txt   # and new.txt
//	benchstat old.txt new.txt
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{SyncNever, SyncInterval, SyncAlways} {
		for _, parallel := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("sync=%s/writers=%d", mode, parallel), func(b *testing.B) {
				o := options(b.TempDir())
				o.Sync, o.SyncInterval, o.SegmentBytes, o.QuotaBytes = mode, 50*time.Millisecond, 64<<20, 1<<40
				s, err := Open(o)
				if err != nil {
					b.Fatal(err)
				}
				ev := body(b, s, 0, event.NewID(time.Now()), completed, 850)
				b.SetBytes(int64(len(ev) + overhead))
				b.ReportAllocs()
				b.SetParallelism(parallel)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					e := Entry{Body: ev}
					for pb.Next() {
						if err := s.Append(&e); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.StopTimer()
				if err := s.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
