package realtime

import (
	"sync/atomic"
	"time"
)

// publishedFormat has milliseconds: the clock of a replica is no better than that against another.
const publishedFormat = "2006-01-02T15:04:05.000Z07:00"

// stamps are the tags of messages that say when they were published. Those of
// one millisecond share them: a map of its own for each is most of what a short
// message takes in a history in memory. Nobody may write to them.
type stamps struct{ last atomic.Pointer[stamp] }

type stamp struct {
	at   int64
	tags map[string]string
}

func (s *stamps) tags(now time.Time) map[string]string {
	at := now.UnixMilli()
	if last := s.last.Load(); last != nil && last.at == at {
		return last.tags
	}
	next := &stamp{at: at, tags: map[string]string{tagPublishedAt: now.UTC().Format(publishedFormat)}}
	s.last.Store(next)
	return next.tags
}
