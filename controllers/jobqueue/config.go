package jobqueue

import (
	"time"

	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// leaseTTL is how long a worker that says nothing keeps its job.
	leaseTTL = 30 * time.Second
	// maxBody has room for the largest payload in base64 with its envelope.
	maxBody = 2 << 20
)

// planeConfig is the plane's configuration.
func planeConfig(q *v1alpha1.JobQueue, in pattern.Inputs) planeconfig.Config {
	config := planes.Config(owner(q.Namespace, q.Name))
	config.HTTP = planeconfig.HTTP{MaxBodyBytes: maxBody}
	config.Auth.WorkerTokenFile = planes.KeysDir + "/" + keyWorkerToken
	config.Engine = planes.Engine(in.Engine, "trellis:jq:"+q.Name+":")
	config.Jobs = jobsConfig(q, in)
	return config
}

func jobsConfig(q *v1alpha1.JobQueue, in pattern.Inputs) *planeconfig.Jobs {
	s := q.Spec
	out := &planeconfig.Jobs{
		Timeout:       planes.Duration(s.Timeout),
		LeaseTTL:      planeconfig.Duration(leaseTTL),
		Retry:         retryConfig(s.Retry),
		Ordered:       s.Ordering == v1alpha1.OrderingKey,
		Rate:          rateConfig(s.RateLimit),
		DeadRetention: planes.Duration(s.DeadLetter.Retention),
		ResultTTL:     planes.Duration(s.Results.TTL),
		Limits: planeconfig.JobLimits{
			PayloadBytes: int64(s.Limits.PayloadBytes),
			ResultBytes:  int64(ptr.Deref(s.Results.MaxBytes, 0)),
			Waiting:      int64(s.Limits.Waiting),
		},
		Sinks:  planes.Sinks(s.Sinks, in, eventTypes),
		Paused: ptr.Deref(s.Paused, false),
	}
	for _, p := range s.Priorities {
		out.Priorities = append(out.Priorities, planeconfig.JobPriority{
			Name: p.Name, Weight: int(p.Weight), Default: ptr.Deref(p.Default, false),
		})
	}
	for i := range s.Schedules {
		out.Schedules = append(out.Schedules, scheduleConfig(&s.Schedules[i]))
	}
	return out
}

func retryConfig(r v1alpha1.JobRetry) planeconfig.JobRetry {
	return planeconfig.JobRetry{
		MaxAttempts: int(r.MaxAttempts),
		Initial:     planes.Duration(r.Backoff.Initial),
		Max:         planes.Duration(r.Backoff.Max),
		Multiplier:  float64(r.Backoff.MultiplierPercent) / 100,
		Jitter:      float64(ptr.Deref(r.Backoff.JitterPercent, 0)) / 100,
		RetryOn:     r.RetryOn,
	}
}

func rateConfig(r *v1alpha1.JobRateLimit) *planeconfig.JobRate {
	if r == nil {
		return nil
	}
	return &planeconfig.JobRate{PerSecond: float64(r.PerSecond), Burst: int(ptr.Deref(r.Burst, r.PerSecond))}
}

func scheduleConfig(s *v1alpha1.JobSchedule) planeconfig.JobSchedule {
	out := planeconfig.JobSchedule{
		Name:         s.Name,
		Cron:         s.Cron,
		TimeZone:     s.TimeZone,
		Concurrency:  string(s.ConcurrencyPolicy),
		Missed:       string(s.MissedRuns),
		MissedWithin: planes.Duration(s.StartingDeadline),
		Suspended:    ptr.Deref(s.Suspend, false),
		Type:         s.Type,
		Priority:     s.Priority,
		OrderingKey:  s.OrderingKey,
	}
	if s.Payload != nil {
		out.Payload = s.Payload.Raw
	}
	for k, v := range s.Metadata {
		if out.Metadata == nil {
			out.Metadata = map[string]string{}
		}
		out.Metadata[k] = string(v)
	}
	return out
}
