package sinks

import (
	"context"
	"time"
)

// Outbox keeps events until they are sent. Its methods are safe for several replicas of a plane at once.
type Outbox interface {
	// Events are those that a sink has not got yet, in the order of their keys, leased to the caller for ttl so that
	// replicas share the work: while one event of a key is leased to another caller, none of that key's are handed out.
	// Types that a sink does not want are none of its events.
	Events(ctx context.Context, now time.Time, sink string, atMost int, ttl time.Duration) ([]Event, error)
	// Sent forgets events that a sink has got, that it does not want, or that are given up.
	Sent(ctx context.Context, sink string, ids []string) error
}

// Event is a CloudEvent to be sent.
type Event struct {
	// ID is unique, and the same at every attempt to send it.
	ID   string
	Type string
	Time time.Time
	// Key has the events that are sent one after the other; those of other keys do not wait for them.
	Key string
	// Subject, where the sink has no mapping of its own.
	Subject string
	// Data is JSON.
	Data []byte
	// TraceParent of what the event tells of; empty for none.
	TraceParent string
	// Hops is how many sinks the event behind this one has come through.
	Hops int
	// Fault is why the event can not be sent at all; nil for none.
	Fault error
}

// AttributeHops is the extension attribute by which an event says how many sinks it, or what it came from, has passed.
const AttributeHops = "trellishops"

// MaxHops is the most: where sinks lead round by their URLs, which nobody can see beforehand, an event ends here. Each round
// may make several of one, so that it is no large number.
const MaxHops = 8
