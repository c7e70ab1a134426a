// Package admin makes Tallygate's topics in Kafka, or checks that they are as
// they must be. It is apart from package topic so that who only needs the names
// does not import a Kafka client.
package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/topic"
)

// ErrUnfit is wrapped by errors that waiting does not mend: a topic that has
// another number of partitions than configured, one that is missing where none
// may be made, or one that the cluster refuses to make. Any other error says that
// Kafka could not be asked, and the caller should try again.
var ErrUnfit = errors.New("the Kafka cluster does not fit the configuration")

// visiblePause is the time between two looks for a topic that was just made: a
// cluster tells its brokers of a new topic a little after it has answered.
const visiblePause = 50 * time.Millisecond

// EnsureTopics makes every topic of Tallygate that is missing and checks the
// number of partitions of those that are there. It may run in several processes
// at once. It returns when all topics can be used, or with the context's error.
func EnsureTopics(ctx context.Context, cl *kgo.Client, cfg config.Kafka) error {
	return Ensure(ctx, cl, cfg, topic.All())
}

// Ensure is EnsureTopics for a choice of topics.
func Ensure(ctx context.Context, cl *kgo.Client, cfg config.Kafka, topics []topic.Topic) error {
	missing, err := check(ctx, cl, cfg, topics)
	if err != nil || len(missing) == 0 {
		return err
	}
	if !cfg.CreateTopics {
		return fmt.Errorf("%w: missing topics: %s; possible solutions: make them; set kafka.create_topics to true",
			ErrUnfit, names(missing))
	}
	adm := kadm.NewClient(cl)
	for _, t := range missing {
		if err := create(ctx, adm, cfg, t); err != nil {
			return err
		}
	}
	for {
		// What another process made meanwhile is checked as well.
		missing, err := check(ctx, cl, cfg, topics)
		if err != nil || len(missing) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot see the topics that were made, %s: %w", names(missing), ctx.Err())
		case <-time.After(visiblePause):
		}
	}
}

// check returns the topics that do not exist, or an error if one exists with
// another number of partitions.
func check(ctx context.Context, cl *kgo.Client, cfg config.Kafka, topics []topic.Topic) ([]topic.Topic, error) {
	found, err := list(ctx, cl, topics)
	if err != nil {
		return nil, err
	}
	var missing []topic.Topic
	var wrong []error
	for _, t := range topics {
		d, ok := found[t.Name]
		fault := kerr.ErrorForCode(d.ErrorCode)
		switch {
		case !ok || errors.Is(fault, kerr.UnknownTopicOrPartition):
			missing = append(missing, t)
		case fault != nil:
			return nil, fmt.Errorf("cannot look at topic %q: %w", t.Name, fault)
		case len(d.Partitions) != partitions(cfg, t):
			wrong = append(wrong, partitionsMistake(cfg, t, len(d.Partitions)))
		}
	}
	return missing, errors.Join(wrong...)
}

// list asks the cluster itself: kadm would answer from the client's cache, in
// which a topic that was just made is missing for some seconds.
func list(ctx context.Context, cl *kgo.Client, topics []topic.Topic) (map[string]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &t.Name
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("cannot list topics: %w", err)
	}
	found := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range resp.Topics {
		if t.Topic != nil {
			found[*t.Topic] = t
		}
	}
	return found, nil
}

func partitionsMistake(cfg config.Kafka, t topic.Topic, got int) error {
	if t.Single {
		return fmt.Errorf("%w: topic %q has %d partitions and must have one; make it anew with one partition", ErrUnfit, t.Name, got)
	}
	return fmt.Errorf("%w: topic %q has %d partitions, kafka.partitions is %d; it can never be changed: set kafka.partitions to %d, or use another cluster",
		ErrUnfit, t.Name, got, cfg.Partitions, got)
}

func create(ctx context.Context, adm *kadm.Client, cfg config.Kafka, t topic.Topic) error {
	settings := map[string]*string{}
	for k, v := range t.Configs(cfg.MinInSync) {
		settings[k] = &v
	}
	r, err := adm.CreateTopic(ctx, int32(partitions(cfg, t)), int16(cfg.Replication), settings, t.Name)
	switch {
	case err == nil || errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case r.ErrMessage != "":
		err = fmt.Errorf("%w: %s", err, r.ErrMessage)
	}
	err = fmt.Errorf("cannot make topic %q: %w", t.Name, err)
	if permanent(err) {
		return fmt.Errorf("%w: %w; possible solutions: correct kafka.replication; grant CREATE on the topic; make the topic by hand", ErrUnfit, err)
	}
	return err
}

// permanent says if a refusal stays one however often the topic is asked for.
// INVALID_REPLICATION_FACTOR is not among them: brokers that are still starting
// give it too.
func permanent(err error) bool {
	for _, e := range []error{
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation,
		kerr.InvalidConfig, kerr.InvalidPartitions, kerr.InvalidRequest,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func partitions(cfg config.Kafka, t topic.Topic) int {
	if t.Single {
		return 1
	}
	return cfg.Partitions
}

func names(topics []topic.Topic) string {
	out := make([]string, len(topics))
	for i, t := range topics {
		out[i] = t.Name
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
