// Package kafka runs the embedded Kafka broker: franz-go's kfake with its state on
// disk. One broker stands for the cluster; clients notice no difference.
package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Config says where a broker runs.
type Config struct {
	// Listener is where it serves. The broker closes it.
	Listener net.Listener
	// Data is the folder of its state.
	Data string
	// Sync writes each batch through to the disk before it is acknowledged, which
	// is about power; a killed process loses nothing either way.
	Sync bool
	// Log takes what the broker has to say.
	Log io.Writer
}

// Start opens the state and serves until Close.
func Start(c Config) (*kfake.Cluster, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return c.Listener, nil }),
		kfake.ClusterID("tallygate-local"),
		kfake.DataDir(filepath.Clean(c.Data)),
		kfake.WithLogger(kfake.BasicLogger(c.Log, kfake.LogLevelWarn)),
		kfake.BrokerConfigs(map[string]string{
			"log.message.timestamp.type": "LogAppendTime",
			"message.max.bytes":          "8388608",
		}),
	}
	if c.Sync {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot open the Kafka data in %q: %w; it is kept as it is: move it away to start anew", c.Data, err)
	}
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if produce, ok := r.(*kmsg.ProduceRequest); ok {
			stampAppendTime(produce, time.Now())
		}
		return nil, nil, false
	})
	return cluster, nil
}

// A record batch, version 2: the checksum covers all from the attributes on.
const (
	checksumAt       = 17
	attributesAt     = 21
	firstTimestampAt = 27
	maxTimestampAt   = 35
	batchHeadBytes   = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stampAppendTime moves the times of each batch so that its latest record has the
// time of the append; the others keep their distance from it. All of Tallygate's
// topics have message.timestamp.type=LogAppendTime, which the broker ignores, and
// its own handling of batches that are marked so stores a wrong checksum. What a
// real broker guarantees and readers rely on holds: the highest time of a batch is
// that of its append, and no record is from the future.
func stampAppendTime(r *kmsg.ProduceRequest, now time.Time) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			batch := r.Topics[i].Partitions[j].Records
			if len(batch) < batchHeadBytes || binary.BigEndian.Uint32(batch[checksumAt:]) != crc32.Checksum(batch[attributesAt:], castagnoli) {
				// The broker refuses it, with the right error.
				continue
			}
			first := int64(binary.BigEndian.Uint64(batch[firstTimestampAt:]))
			latest := int64(binary.BigEndian.Uint64(batch[maxTimestampAt:]))
			binary.BigEndian.PutUint64(batch[firstTimestampAt:], uint64(now.UnixMilli()-(latest-first)))
			binary.BigEndian.PutUint64(batch[maxTimestampAt:], uint64(now.UnixMilli()))
			binary.BigEndian.PutUint32(batch[checksumAt:], crc32.Checksum(batch[attributesAt:], castagnoli))
		}
	}
}
