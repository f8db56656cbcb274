package sinks

import (
	"fmt"
	"net/http"

	"github.com/trellis-dev/trellis/internal/eventcel"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Reasons of dead letters, as the metric has them.
const (
	reasonRefused = "refused"
	reasonExpired = "expired"
	reasonFilter  = "filter"
	reasonMapping = "mapping"
	reasonHops    = "hops"
	reasonData    = "data"
	reasonFull    = "full"
)

// cause of a dead letter.
type cause struct {
	reason string
	// status of the last answer; 0 for none.
	status int
	err    error
}

// letter is an event as it is sent.
type letter struct {
	Event
	subject string
	data    []byte
}

// shape says which events a sink wants, and what becomes of them; nil for what stays as it is.
type shape struct {
	source  string
	filter  *eventcel.Filter
	subject *eventcel.Subject
	content *eventcel.Content
}

func newShape(cfg planeconfig.Sink, source string) (_ *shape, err error) {
	s := &shape{source: source}
	if cfg.Filter != "" {
		if s.filter, err = eventcel.CompileFilter(cfg.Filter); err != nil {
			return nil, fmt.Errorf("the sink's filter is no CEL that can be used: %w", err)
		}
	}
	if cfg.Subject != "" {
		if s.subject, err = eventcel.CompileSubject(cfg.Subject); err != nil {
			return nil, fmt.Errorf("the sink's mapping.subject is no CEL that can be used: %w", err)
		}
	}
	if cfg.Data != "" {
		if s.content, err = eventcel.CompileContent(cfg.Data); err != nil {
			return nil, fmt.Errorf("the sink's mapping.data is no CEL that can be used: %w", err)
		}
	}
	return s, nil
}

// letter is nil for an event that is not wanted. A cause is one for which the event will never be sent.
func (s *shape) letter(e Event) (*letter, *cause) {
	out := &letter{Event: e, subject: e.Subject, data: e.Data}
	if e.Fault != nil {
		return nil, &cause{reason: reasonData, err: e.Fault}
	}
	if s.filter != nil || s.subject != nil || s.content != nil {
		data, err := eventcel.Data(e.Data)
		if err != nil {
			return nil, &cause{reason: reasonData, err: err}
		}
		seen := eventcel.Event{ID: e.ID, Type: e.Type, Source: s.source, Subject: e.Subject, Time: e.Time, Data: data}
		if wanted, why := s.apply(seen, out); why != nil || !wanted {
			return nil, why
		}
	}
	// After the filter, as what is not sent goes round nowhere.
	if e.Hops >= MaxHops {
		return nil, &cause{reason: reasonHops, status: http.StatusLoopDetected, err: fmt.Errorf(
			"it has come through %d sinks, and %d are the most: they lead round, remove one of them", e.Hops, MaxHops)}
	}
	return out, nil
}

func (s *shape) apply(e eventcel.Event, out *letter) (wanted bool, why *cause) {
	var err error
	if s.filter != nil {
		if wanted, err = s.filter.Wants(e); err != nil {
			return false, &cause{reason: reasonFilter, err: err}
		}
		if !wanted {
			return false, nil
		}
	}
	if s.subject != nil {
		if out.subject, err = s.subject.Of(e); err != nil {
			return false, &cause{reason: reasonMapping, err: err}
		}
	}
	if s.content != nil {
		if out.data, err = s.content.Of(e); err != nil {
			return false, &cause{reason: reasonMapping, err: err}
		}
	}
	return true, nil
}
