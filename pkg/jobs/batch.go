package jobs

// BatchRequest submits several jobs.
type BatchRequest struct {
	Jobs []Submission `json:"jobs" minItems:"1" maxItems:"1000"`
}

// BatchReply has a result for every job of the request, in its order.
type BatchReply struct {
	Items []BatchItem `json:"items"`
}

// BatchItem is the job that a submission became, or why it became none.
type BatchItem struct {
	Accepted
	// Problem is nil where the job was accepted.
	Problem *Error `json:"problem,omitempty"`
}
