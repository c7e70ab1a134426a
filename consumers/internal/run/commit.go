package run

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// notePrefix begins the metadata of an offset that has a batch under way behind it.
const notePrefix = "end="

// note is what the group has committed for a partition: the offset, or -1, and the
// end of the batch that may have been inserted from there, or zero.
type note struct{ committed, end int64 }

func noteText(end int64) string { return notePrefix + strconv.FormatInt(end, 10) }

// noteOf reads a committed offset. Metadata that is not ours is no note.
func noteOf(offset int64, metadata *string) note {
	n := note{committed: offset}
	if offset < 0 || metadata == nil {
		return n
	}
	if text, ok := strings.CutPrefix(*metadata, notePrefix); ok {
		if end, err := strconv.ParseInt(text, 10, 64); err == nil && end > offset {
			n.end = end
		}
	}
	return n
}

// commit commits an offset with metadata for each lane, in one request, and returns
// the lanes for which it failed.
func (e *Engine) commit(ctx context.Context, lanes []*lane, of func(*lane) (int64, string)) map[*lane]error {
	if len(lanes) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	metadata := map[place]string{}
	for _, l := range lanes {
		offset, text := of(l)
		if offsets[l.topic] == nil {
			offsets[l.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[l.topic][l.partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		metadata[l.place] = text
	}
	// The client would put its member id into the metadata.
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				text := metadata[place{t.Topic, t.Partitions[j].Partition}]
				t.Partitions[j].Metadata = &text
			}
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	result := map[place]error{}
	var whole error
	e.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if whole = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				result[place{t.Topic, p.Partition}] = kerr.ErrorForCode(p.ErrorCode)
			}
		}
	})
	errs := map[*lane]error{}
	for _, l := range lanes {
		err, answered := result[l.place]
		switch {
		case whole != nil:
			err = whole
		case !answered:
			err = errors.New("the broker did not answer for the partition")
		}
		if err != nil {
			errs[l] = fmt.Errorf("cannot commit offset of group %q: %w", Group(e.projection.Name()), err)
		}
	}
	return errs
}
