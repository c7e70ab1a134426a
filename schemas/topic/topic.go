// Package topic is the table of Tallygate's Kafka topics: names, partitioning
// and retention.
package topic

import (
	"hash/fnv"
	"strconv"
	"time"
)

// Names of the topics.
const (
	Control     = "tallygate.control"
	Requests    = "tallygate.requests.v1"
	Payloads    = "tallygate.payloads.v1"
	Limits      = "tallygate.limits"
	Replicas    = "tallygate.replicas"
	Checkpoints = "tallygate.checkpoints"
	Feedback    = "tallygate.feedback.v1"
	DeadLetter  = "tallygate.deadletter.v1"
)

// Topic says how one topic must be made.
type Topic struct {
	Name string
	// Single is true for topics that have one partition; the others have as many
	// as the installation was made with, for ever.
	Single bool
	// Compacted topics keep the last value of each key.
	Compacted bool
	// MaxMessageBytes is the largest record; zero means Kafka's own bound, about 1 MB.
	MaxMessageBytes int
	// Retention is how long records are kept; zero means forever.
	Retention time.Duration
}

const day = 24 * time.Hour

// ControlMaxBytes is the largest change of policy: some 200,000 keys.
const ControlMaxBytes = 16 << 20

// All lists every topic.
func All() []Topic {
	return []Topic{
		// A configuration is declared in one record, all or none of it.
		{Name: Control, Single: true, MaxMessageBytes: ControlMaxBytes},
		// For ever, as long as the ledger folds from the log's start: see docs/decisions/0005.
		{Name: Requests},
		{Name: Payloads, Retention: 7 * day},
		{Name: Limits, Compacted: true},
		{Name: Replicas, Single: true, Compacted: true},
		{Name: Checkpoints, Compacted: true},
		{Name: Feedback, Retention: 90 * day},
		{Name: DeadLetter, Retention: 90 * day},
	}
}

// Configs returns the topic's settings in Kafka's names and values. Every topic
// is stamped with the broker's append time, so that time retention never deletes
// what has just arrived.
func (t Topic) Configs(minInSync int) map[string]string {
	c := map[string]string{
		"message.timestamp.type": "LogAppendTime",
		"compression.type":       "producer",
		"min.insync.replicas":    strconv.Itoa(minInSync),
		"retention.ms":           "-1",
		"retention.bytes":        "-1",
	}
	if t.Retention > 0 {
		c["retention.ms"] = strconv.FormatInt(t.Retention.Milliseconds(), 10)
	}
	if t.MaxMessageBytes > 0 {
		c["max.message.bytes"] = strconv.Itoa(t.MaxMessageBytes)
	}
	if t.Compacted {
		c["cleanup.policy"] = "compact"
		c["min.cleanable.dirty.ratio"] = "0.1"
	} else {
		c["cleanup.policy"] = "delete"
	}
	return c
}

// PartitionOf returns the partition of an org's events: FNV-1a of its id, modulo
// the number of partitions. It never changes, because a topic's partitions do not.
func PartitionOf(org string, partitions int) int32 {
	h := fnv.New64a()
	h.Write([]byte(org))
	return int32(h.Sum64() % uint64(partitions))
}
