package jobqueue

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

type spec = v1alpha1.JobQueueSpec

// makeQueue makes one as the API server would fill it in.
func makeQueue(mutate ...func(*spec)) *v1alpha1.JobQueue {
	q := &v1alpha1.JobQueue{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "reports"}}
	q.Spec = spec{
		Engine: v1alpha1.JobsPostgreSQL, Replicas: ptr.To[int32](1), Concurrency: 2, Ordering: v1alpha1.OrderingNone,
		Worker:  v1alpha1.JobWorker{Image: "worker:1", Exec: &v1alpha1.JobExec{Command: []string{"work"}}, Replicas: ptr.To[int32](1)},
		Timeout: hours(1),
		Retry: v1alpha1.JobRetry{MaxAttempts: 5, Backoff: v1alpha1.JobBackoff{
			Initial: hours(1), Max: hours(2), MultiplierPercent: 150, JitterPercent: ptr.To[int32](20),
		}},
		Priorities: []v1alpha1.JobPriority{{Name: "normal", Weight: 1, Default: ptr.To(true)}},
		DeadLetter: v1alpha1.JobDeadLetter{Retention: hours(3)},
		Results:    v1alpha1.JobResults{TTL: hours(4), MaxBytes: ptr.To[int32](5)},
		Limits:     v1alpha1.JobLimits{PayloadBytes: 60, Waiting: 7},
	}
	for _, m := range mutate {
		m(&q.Spec)
	}
	return q
}

func hours(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }

func pulled(s *spec) { s.Worker = v1alpha1.JobWorker{Pull: &v1alpha1.JobPull{}} }

func suspended(s *spec) { s.Suspend = ptr.To(true) }

func scaled(least int32) func(*spec) {
	return func(s *spec) { s.Scaling = &v1alpha1.JobScaling{MinReplicas: &least, MaxReplicas: 9} }
}

func inputs() pattern.Inputs {
	return pattern.Inputs{
		Class: &v1alpha1.PatternClass{}, ClusterDomain: "cluster.local",
		Engine: &pattern.EngineInput{Type: v1alpha1.EnginePostgreSQL, Name: "c-pgsql", BindingSecret: "c-pgsql-eng-binding"},
	}
}

// deployments of a plan: the plane's and the workers'.
func deployments(t *testing.T, q *v1alpha1.JobQueue, in pattern.Inputs) (plane, worker *appsv1.Deployment) {
	t.Helper()
	p, err := plan(q, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range p.Children {
		switch d, ok := child.Object.(*appsv1.Deployment); {
		case ok && child.TellsLoad:
			plane = d
		case ok:
			worker = d
		}
	}
	return plane, worker
}

func TestNeeds(t *testing.T) {
	engine := &pattern.EngineNeed{Type: v1alpha1.EnginePostgreSQL}
	tests := []struct {
		name   string
		mutate func(*spec)
		want   pattern.Needs
	}{
		{"one worker", func(*spec) {}, pattern.Needs{EngineName: "PostgreSQL", Engine: engine, Replicas: 1}},
		{"more workers than planes", func(s *spec) { s.Worker.Replicas = ptr.To[int32](4) },
			pattern.Needs{EngineName: "PostgreSQL", Engine: engine, Replicas: 4, ReplicasField: "spec.worker.replicas"}},
		{"scaled workers", scaled(0),
			pattern.Needs{EngineName: "PostgreSQL", Engine: engine, Replicas: 9, ReplicasField: "spec.scaling.maxReplicas"}},
		{"more planes than workers", func(s *spec) { s.Replicas = ptr.To[int32](3); pulled(s) },
			pattern.Needs{EngineName: "PostgreSQL", Engine: engine, Replicas: 3}},
		{"a Secret", func(s *spec) {
			s.Worker.Env = []v1alpha1.JobEnvVar{{Name: "A"}, {Name: "B", ValueFrom: &v1alpha1.JobEnvSource{
				SecretKeyRef: &v1alpha1.SecretKeyReference{Name: "mail", Key: "password"},
			}}}
		}, pattern.Needs{EngineName: "PostgreSQL", Engine: engine, Replicas: 1,
			Secrets: []pattern.SecretNeed{{Name: "mail", Key: "password", Field: "spec.worker.env[1].valueFrom.secretKeyRef"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, needs(makeQueue(tt.mutate), nil)); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPlaneConfig reads what is written as the plane does, which refuses what it could not serve.
func TestPlaneConfig(t *testing.T) {
	q := makeQueue(func(s *spec) {
		s.Ordering, s.Paused = v1alpha1.OrderingKey, ptr.To(true)
		s.RateLimit = &v1alpha1.JobRateLimit{PerSecond: 8}
		s.Schedules = []v1alpha1.JobSchedule{{
			Name: "daily", Cron: "@daily", TimeZone: "UTC", Payload: &v1alpha1.JSON{Raw: []byte(`{"a":1}`)},
			Metadata: map[string]v1alpha1.JobMetadataValue{"k": "v"}, ConcurrencyPolicy: "Forbid", MissedRuns: "Skip", StartingDeadline: hours(1),
		}}
		s.Sinks = []v1alpha1.Sink{{Name: "a", Ref: &v1alpha1.SinkReference{Kind: "RealtimeGateway", Name: "rooms"}, Types: []v1alpha1.SinkEventType{"dead"}}, {Name: "b", URL: "http://b"}}
	})
	in := inputs()
	in.Sinks = map[string]pattern.Receiver{"a": {URL: "http://a/v1/events", BindingSecret: "rooms-rtg-binding"}}
	text, err := planeconfig.Encode(planeConfig(q, in))
	if err != nil {
		t.Fatal(err)
	}
	got, err := planeconfig.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	hour := planeconfig.Duration(time.Hour)
	want := &planeconfig.Jobs{
		Timeout: hour, LeaseTTL: planeconfig.Duration(30 * time.Second),
		Retry:      planeconfig.JobRetry{MaxAttempts: 5, Initial: hour, Max: 2 * hour, Multiplier: 1.5, Jitter: 0.2},
		Priorities: []planeconfig.JobPriority{{Name: "normal", Weight: 1, Default: true}},
		Ordered:    true, Paused: true, Rate: &planeconfig.JobRate{PerSecond: 8, Burst: 8},
		Limits:        planeconfig.JobLimits{PayloadBytes: 60, ResultBytes: 5, Waiting: 7},
		DeadRetention: 3 * hour, ResultTTL: 4 * hour,
		Schedules: []planeconfig.JobSchedule{{
			Name: "daily", Cron: "@daily", TimeZone: "UTC", Concurrency: "Forbid", Missed: "Skip", MissedWithin: hour,
			Metadata: map[string]string{"k": "v"},
		}},
		Sinks: []planeconfig.Sink{
			{Name: "a", URL: "http://a/v1/events", TokenFile: "/etc/trellis/sinks/a/token", Types: []string{"dev.trellis.job.dead"}},
			{Name: "b", URL: "http://b"},
		},
	}
	if payload := strings.Join(strings.Fields(string(got.Jobs.Schedules[0].Payload)), ""); payload != `{"a":1}` {
		t.Errorf("payload is %s", payload)
	}
	got.Jobs.Schedules[0].Payload = nil
	if diff := cmp.Diff(want, got.Jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if got.Auth.WorkerTokenFile != "/etc/trellis/keys/worker-token" || got.Auth.PreviousWorkerTokenFile != "/etc/trellis/keys/previousWorkerToken" {
		t.Errorf("auth is %+v", got.Auth)
	}
}

// TestWhatRollsThePods changes one setting at a time: pods are made anew only for what plane and runner can not take up
// while they run.
func TestWhatRollsThePods(t *testing.T) {
	planeBefore, workerBefore := deployments(t, makeQueue(), inputs())
	for name, c := range map[string]struct {
		mutate        func(*spec)
		plane, worker bool
	}{
		"retry":             {func(s *spec) { s.Retry.MaxAttempts = 9 }, false, false},
		"priorities":        {func(s *spec) { s.Priorities[0].Weight = 9 }, false, false},
		"ordering":          {func(s *spec) { s.Ordering = v1alpha1.OrderingKey }, false, false},
		"rateLimit":         {func(s *spec) { s.RateLimit = &v1alpha1.JobRateLimit{PerSecond: 1} }, false, false},
		"deadLetter":        {func(s *spec) { s.DeadLetter.Retention = hours(9) }, false, false},
		"ttl":               {func(s *spec) { s.Results.TTL = hours(9) }, false, false},
		"limits":            {func(s *spec) { s.Limits = v1alpha1.JobLimits{PayloadBytes: 9, Waiting: 9} }, false, false},
		"paused":            {func(s *spec) { s.Paused = ptr.To(true) }, false, false},
		"schedules":         {func(s *spec) { s.Schedules = []v1alpha1.JobSchedule{{Name: "a", Cron: "@daily"}} }, false, false},
		"a sink by URL":     {func(s *spec) { s.Sinks = []v1alpha1.Sink{{Name: "a", URL: "http://a"}} }, false, false},
		"a longer timeout":  {func(s *spec) { s.Timeout = hours(9) }, false, false},
		"a shorter timeout": {func(s *spec) { s.Timeout = &metav1.Duration{Duration: time.Minute} }, false, true},
		"maxBytes":          {func(s *spec) { s.Results.MaxBytes = ptr.To[int32](9) }, false, true},
		"concurrency":       {func(s *spec) { s.Concurrency = 9 }, false, true},
		"command":           {func(s *spec) { s.Worker.Exec.Command = []string{"other"} }, false, true},
		"image":             {func(s *spec) { s.Worker.Image = "worker:2" }, false, true},
		"scaling":           {scaled(0), false, false},
	} {
		plane, worker := deployments(t, makeQueue(c.mutate), inputs())
		if rolled := !cmp.Equal(planeBefore.Spec.Template, plane.Spec.Template); rolled != c.plane {
			t.Errorf("%s: planes made anew %v, want %v", name, rolled, c.plane)
		}
		if rolled := !cmp.Equal(workerBefore.Spec.Template, worker.Spec.Template); rolled != c.worker {
			t.Errorf("%s: workers made anew %v, want %v", name, rolled, c.worker)
		}
	}
}

// TestGraceOutlastsTheJobs shows that no worker is killed while it hands back what did not end.
func TestGraceOutlastsTheJobs(t *testing.T) {
	for _, timeout := range []time.Duration{time.Second, time.Minute, 48 * time.Hour} {
		q := makeQueue(func(s *spec) { s.Timeout = &metav1.Duration{Duration: timeout} })
		_, worker := deployments(t, q, inputs())
		pod := time.Duration(*worker.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		jobs := time.Duration(runnerConfig(q, "http://a").Grace)
		if pod <= jobs || jobs > 10*time.Minute || jobs > timeout {
			t.Errorf("timeout %s: jobs are given %s and pods %s", timeout, jobs, pod)
		}
	}
}

func TestWhatThePlanRefuses(t *testing.T) {
	schedule := func(mutate func(*v1alpha1.JobSchedule)) func(*spec) {
		return func(s *spec) {
			one := v1alpha1.JobSchedule{Name: "a", Cron: "0 0 * * *", TimeZone: "UTC"}
			mutate(&one)
			s.Schedules = []v1alpha1.JobSchedule{one}
		}
	}
	for name, c := range map[string]struct {
		mutate func(*spec)
		want   string
	}{
		"a minute that there is not": {schedule(func(s *v1alpha1.JobSchedule) { s.Cron = "61 * * * *" }), `spec.schedules[0].cron is "61 * * * *"`},
		"a day that never comes":     {schedule(func(s *v1alpha1.JobSchedule) { s.Cron = "0 0 30 2 *" }), "never comes"},
		"a zone that is not known":   {schedule(func(s *v1alpha1.JobSchedule) { s.TimeZone = "Europe/Nowhere" }), `timeZone is "Europe/Nowhere"`},
		"too large a payload": {schedule(func(s *v1alpha1.JobSchedule) {
			s.Payload = &v1alpha1.JSON{Raw: []byte(`"` + strings.Repeat("x", 60) + `"`)}
		}), "payload has 62 bytes and limits.payloadBytes is 60"},
		"payloads that no ConfigMap holds": {func(s *spec) {
			s.Limits.PayloadBytes = 1 << 20
			for _, name := range []string{"a", "b"} {
				s.Schedules = append(s.Schedules, v1alpha1.JobSchedule{Name: name, Cron: "@daily", TimeZone: "UTC",
					Payload: &v1alpha1.JSON{Raw: []byte(`"` + strings.Repeat("x", 600<<10) + `"`)}})
			}
		}, "shorten the payloads"},
	} {
		_, err := plan(makeQueue(c.mutate), inputs())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	leap := schedule(func(s *v1alpha1.JobSchedule) { s.Cron, s.TimeZone = "0 0 29 2 *", "Europe/Berlin" })
	if _, err := plan(makeQueue(leap), inputs()); err != nil {
		t.Errorf("a leap day: %v", err)
	}
}

func TestScale(t *testing.T) {
	all := &scaling.Spec{
		Min: 1, Max: 9, PerReplica: 2, Stabilization: time.Minute, IdleAfter: 5 * time.Minute,
		Total: planeconfig.MetricBacklog, Metric: planeconfig.MetricRunning, Unit: "jobs",
	}
	for name, c := range map[string]struct {
		mutate []func(*spec)
		want   *scaling.Spec
	}{
		"not":                       {nil, nil},
		"by the concurrency":        {[]func(*spec){scaled(1)}, all},
		"not while suspended":       {[]func(*spec){scaled(1), suspended}, nil},
		"not the workers elsewhere": {[]func(*spec){scaled(1), pulled}, nil},
	} {
		if diff := cmp.Diff(c.want, scale(makeQueue(c.mutate...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// living are the Deployments of plane and workers, n of whose workers run of those that are asked for.
func living(asked, n int32) []client.Object {
	deployment := func(component string, asked, n int32) client.Object {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelComponent: component}}}
		d.Spec.Replicas, d.Spec.Selector = &asked, &metav1.LabelSelector{MatchLabels: map[string]string{"is": component}}
		d.Status = appsv1.DeploymentStatus{Replicas: asked, UpdatedReplicas: asked, AvailableReplicas: n}
		return d
	}
	return []client.Object{deployment("plane", 1, 1), deployment(v1alpha1.ComponentWorker, asked, n)}
}

func TestObserve(t *testing.T) {
	for name, c := range map[string]struct {
		mutate   []func(*spec)
		asked, n int32
		want     *pattern.Verdict
	}{
		"all run":     {nil, 1, 1, &pattern.Verdict{OK: true, Reason: "WorkersReady", Message: "all pods are ready"}},
		"none starts": {nil, 1, 0, &pattern.Verdict{Reason: "WorkersNotReady", Message: "0 of 1 pods are ready"}},
		"none is asked for": {nil, 0, 0, &pattern.Verdict{OK: true, Reason: "WorkersIdle",
			Message: "spec.worker.replicas is 0: jobs wait until it is raised"}},
		"nothing to do": {[]func(*spec){scaled(0)}, 0, 0, &pattern.Verdict{OK: true, Reason: "WorkersIdle",
			Message: "no worker runs: the first job wakes one"}},
		"the first one starts": {[]func(*spec){scaled(0)}, 1, 0, &pattern.Verdict{OK: true, Progressing: true, Reason: "WorkersStarting",
			Message: "0 of 1 pods are ready"}},
		"elsewhere": {[]func(*spec){pulled}, 0, 0, nil},
		"suspended": {[]func(*spec){suspended}, 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			q := makeQueue(c.mutate...)
			got := observe(q, pattern.Observed{Children: living(c.asked, c.n)})
			if diff := cmp.Diff(c.want, got.Workers); diff != "" {
				t.Errorf("workers (-want +got):\n%s", diff)
			}
			if q.Status.Selector != "is=worker" || q.Status.DesiredReplicas != c.asked {
				t.Errorf("scale is %+v", q.Status.ScaleStatus)
			}
			if plane := got.Plane; plane.OK != (name != "suspended") {
				t.Errorf("plane is %+v", plane)
			}
		})
	}
}
