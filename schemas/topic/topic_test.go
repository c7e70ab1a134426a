package topic

import (
	"fmt"
	"testing"
)

// TestPartitionOfNeverChanges holds golden values: an org's events are where they
// are, and a change of the function would tear its history apart.
func TestPartitionOfNeverChanges(t *testing.T) {
	f := func(org string, partitions int, want int32) {
		t.Helper()
		if got := PartitionOf(org, partitions); got != want {
			t.Fatalf("unexpected partition of %q among %d; got %d; want %d", org, partitions, got, want)
		}
	}
	f("", 12, 5)
	f("acme", 1, 0)
	f("acme", 12, 11)
	f("acme", 24, 23)
	f("demo", 12, 6)
	f("_system", 12, 11)
	f("_anonymous", 12, 3)
	f("Größe", 12, 2)
	f("org-000001", 10_000, 815)
}

func TestPartitionsAreUsedEvenly(t *testing.T) {
	const orgs, partitions = 12_000, 12
	var counts [partitions]int
	for i := range orgs {
		p := PartitionOf(fmt.Sprintf("org-%d", i), partitions)
		if p < 0 || p >= partitions {
			t.Fatalf("unexpected partition: %d", p)
		}
		counts[p]++
	}
	for p, n := range counts {
		if n < orgs/partitions*8/10 || n > orgs/partitions*12/10 {
			t.Fatalf("unexpected number of orgs in partition %d: %d of %d", p, n, orgs)
		}
	}
}

func TestTable(t *testing.T) {
	names := map[string]Topic{}
	for _, topic := range All() {
		if _, ok := names[topic.Name]; ok {
			t.Fatalf("%s stands twice", topic.Name)
		}
		names[topic.Name] = topic
		c := topic.Configs(2)
		if c["message.timestamp.type"] != "LogAppendTime" || c["min.insync.replicas"] != "2" {
			t.Fatalf("unexpected settings of %s: %v", topic.Name, c)
		}
		if topic.Compacted && topic.Retention != 0 {
			t.Fatalf("%s is compacted and must not be cut by time", topic.Name)
		}
	}
	if c := names[Control].Configs(1); !names[Control].Single || c["retention.ms"] != "-1" || c["cleanup.policy"] != "delete" {
		t.Fatalf("the control log must be kept whole, in one partition: %v", c)
	}
	if c := names[Requests].Configs(1); c["retention.ms"] != "-1" || c["cleanup.policy"] != "delete" {
		t.Fatalf("unexpected settings of the requests: %v", c)
	}
	if c := names[Limits].Configs(1); c["cleanup.policy"] != "compact" {
		t.Fatalf("unexpected settings of the limits: %v", c)
	}
}
