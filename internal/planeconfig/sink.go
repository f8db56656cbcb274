package planeconfig

// Gauges by which a plane tells the operator how its sinks are, each with the label LabelSink.
const (
	// MetricSinkBacklogAge is for how many seconds the oldest event has waited that was tried and not taken.
	MetricSinkBacklogAge = "trellis_sink_backlog_age_seconds"
	// MetricSinkDeadLetters is how many events were given up within the last hour.
	MetricSinkDeadLetters = "trellis_sink_recent_dead_letters"
	LabelSink             = "sink"
)

// Sink receives CloudEvents, in binary mode by POST.
type Sink struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// TokenFile, when set, holds the bearer token that the receiver wants.
	TokenFile string `json:"tokenFile,omitempty"`
	// CAFile, when set, holds PEM certificates that the receiver's certificate is checked against.
	CAFile string `json:"caFile,omitempty"`
	// Types of events that are sent; empty for all.
	Types []string `json:"types,omitempty"`
	// Filter, when set, is a CEL expression that is true for the events that are sent.
	Filter string `json:"filter,omitempty"`
	// Subject and Data, when set, are CEL expressions that make those of the event.
	Subject string `json:"subject,omitempty"`
	Data    string `json:"data,omitempty"`
}
