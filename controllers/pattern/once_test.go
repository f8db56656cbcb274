package pattern

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// onceLabels of the Jobs of a queue.
var onceLabels = map[string]string{v1alpha1.LabelKind: "JobQueue", v1alpha1.LabelName: "renders", v1alpha1.LabelComponent: v1alpha1.ComponentWorker}

func makeOnce(most int32) *Once {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "renders-jq-worker", Labels: onceLabels}}
	j.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](60)
	return &Once{Job: j, Most: most}
}

// onceJob in a slot, with a condition since a minute of the epoch where it has any.
func onceJob(slot int32, n int, minute int, conditions ...batchv1.JobConditionType) *batchv1.Job {
	o := makeOnce(1)
	j := o.Job.DeepCopy()
	j.Name = o.name(slot, n)
	for _, c := range conditions {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: at(minute)})
	}
	return j
}

func values(jobs []*batchv1.Job) []batchv1.Job {
	out := make([]batchv1.Job, len(jobs))
	for i, j := range jobs {
		out[i] = *j
	}
	return out
}

func TestNamesOfJobs(t *testing.T) {
	stranger := onceJob(0, 1, 0)
	stranger.Name = "renders-jq-worker-by-hand"
	tests := map[string]struct {
		jobs []*batchv1.Job
		n    int32
		want []string
	}{
		"the first ones":             {nil, 2, []string{"renders-jq-worker-0-1", "renders-jq-worker-1-1"}},
		"no more than there is room": {nil, 9, []string{"renders-jq-worker-0-1", "renders-jq-worker-1-1", "renders-jq-worker-2-1"}},
		"none":                       {nil, 0, nil},
		"a slot that is taken":       {[]*batchv1.Job{onceJob(0, 3, 0)}, 1, []string{"renders-jq-worker-1-1"}},
		"a slot that is free again": {[]*batchv1.Job{onceJob(0, 3, 0, batchv1.JobComplete), onceJob(0, 2, 0, batchv1.JobFailed)}, 1,
			[]string{"renders-jq-worker-0-4"}},
		"an older one goes on":  {[]*batchv1.Job{onceJob(0, 1, 0), onceJob(0, 2, 0, batchv1.JobFailed)}, 1, []string{"renders-jq-worker-1-1"}},
		"one that was told now": {[]*batchv1.Job{onceJob(0, 1, 9, batchv1.JobFailureTarget)}, 1, []string{"renders-jq-worker-1-1"}},
		"a node that is lost":   {[]*batchv1.Job{onceJob(0, 1, 7, batchv1.JobFailureTarget)}, 1, []string{"renders-jq-worker-0-2"}},
		"another's name":        {[]*batchv1.Job{stranger}, 1, []string{"renders-jq-worker-0-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, makeOnce(3).next(values(tt.jobs), at(10).Time, tt.n)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

// backlog is what the plane tells.
type backlog float64

func (b backlog) Read(context.Context, string, scaling.Gauge) (float64, error) {
	return float64(b), nil
}

// onceCluster has a plane that tells a backlog, and Jobs.
func onceCluster(t *testing.T, jobs ...*batchv1.Job) client.WithWatch {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	plane := map[string]string{"is": "plane"}
	objects := []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "plane"},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: plane}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "plane-1", Labels: plane}, Status: corev1.PodStatus{
			PodIP: "192.0.2.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}},
	}
	for _, j := range jobs {
		objects = append(objects, j)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// lookAt has an operator that has just come look once, with a cache that shows these Jobs.
func lookAt(t *testing.T, c client.WithWatch, cached []*batchv1.Job, todo float64, most int32, more interceptor.Funcs) (*scaling.Decision, error) {
	t.Helper()
	more.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if jobs, ok := list.(*batchv1.JobList); ok {
			jobs.Items = values(cached)
			return nil
		}
		return c.List(ctx, list, opts...)
	}
	a := &autoscaler{client: interceptor.NewClient(c, more), live: c, reader: backlog(todo), clock: clocktesting.NewFakePassiveClock(at(10).Time),
		log: logr.Discard(), followed: map[string]*followed{}}
	f := &followed{teller: types.NamespacedName{Namespace: "apps", Name: "plane"}, spec: scaling.Spec{Max: most, Total: "backlog", Unit: "jobs"},
		once: makeOnce(most), tell: make(chan event.GenericEvent, 1)}
	err := a.look(t.Context(), f)
	return f.found, err
}

// unfinished names the Jobs that are under way.
func unfinished(t *testing.T, c client.Client) []string {
	t.Helper()
	var list batchv1.JobList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		if !atEnd(&list.Items[i]) {
			out = append(out, list.Items[i].Name)
		}
	}
	slices.Sort(out)
	return out
}

func TestAsManyJobsAsThereIsWork(t *testing.T) {
	under, over := onceJob(0, 1, 0), onceJob(0, 1, 0, batchv1.JobComplete)
	tests := map[string]struct {
		alive, cached []*batchv1.Job
		todo          float64
		want          []string
	}{
		"nothing to do":                {nil, nil, 0, nil},
		"one":                          {nil, nil, 1, []string{"renders-jq-worker-0-1"}},
		"many":                         {nil, nil, 50, []string{"renders-jq-worker-0-1", "renders-jq-worker-1-1"}},
		"one is under way":             {[]*batchv1.Job{under}, []*batchv1.Job{under}, 1, []string{"renders-jq-worker-0-1"}},
		"the cache has not seen it":    {[]*batchv1.Job{under}, nil, 1, []string{"renders-jq-worker-0-1"}},
		"nor that there are as many":   {[]*batchv1.Job{under, onceJob(1, 7, 0)}, nil, 50, []string{"renders-jq-worker-0-1", "renders-jq-worker-1-7"}},
		"the cache has not seen it go": {[]*batchv1.Job{over}, []*batchv1.Job{under}, 1, nil},
		"it has ended":                 {[]*batchv1.Job{over}, []*batchv1.Job{over}, 1, []string{"renders-jq-worker-0-2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := onceCluster(t, tt.alive...)
			if _, err := lookAt(t, c, tt.cached, tt.todo, 2, interceptor.Funcs{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, unfinished(t, c)); diff != "" {
				t.Errorf("Jobs under way (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJobsThatEndedAreBounded: those that ended first are deleted, and none that is under way or another's. One that is being deleted
// already takes no other's place.
func TestJobsThatEndedAreBounded(t *testing.T) {
	all := []*batchv1.Job{onceJob(0, 1, 0), onceJob(1, 1, 0, batchv1.JobFailureTarget)}
	for n := range mostEnded + 2 {
		all = append(all, onceJob(2, n+1, n-200, []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed}[n%2]))
	}
	stranger, going := onceJob(0, 9, -300, batchv1.JobComplete), onceJob(0, 8, 9, batchv1.JobComplete)
	stranger.Name = "renders-jq-worker-by-hand"
	going.DeletionTimestamp, going.Finalizers = ptr.To(at(9)), []string{"example.com/keeps"}
	all = append(all, stranger, going)
	c := onceCluster(t, all...)
	if _, err := lookAt(t, c, all, 0, 3, interceptor.Funcs{}); err != nil {
		t.Fatal(err)
	}
	for i, j := range all {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(j), &batchv1.Job{})
		if gone := i == 2 || i == 3; apierrors.IsNotFound(err) != gone {
			t.Errorf("%s: %v, to be deleted %t", j.Name, err, gone)
		}
	}
}

// TestDeathBetweenTwoJobs: an operator dies after each write, and the next one has a cache that shows nothing yet.
func TestDeathBetweenTwoJobs(t *testing.T) {
	const most = 4
	c := onceCluster(t)
	for i := range most + 2 {
		made := false
		_, err := lookAt(t, c, nil, 50, most, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				if made {
					return errors.New("it is dead")
				}
				made = true
				return c.Create(ctx, obj, opts...)
			}})
		want := min(i+1, most)
		if (err != nil) != (i+1 < most) || len(unfinished(t, c)) != want {
			t.Fatalf("after death %d there are %v, error %v", i, unfinished(t, c), err)
		}
	}
}

// TestTwoOperatorsMakeAJobOnce: both saw that there was none.
func TestTwoOperatorsMakeAJobOnce(t *testing.T) {
	c := onceCluster(t)
	_, err := lookAt(t, c, nil, 1, 2, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if err := c.Create(ctx, obj.DeepCopyObject().(client.Object), opts...); err != nil {
				t.Fatal(err)
			}
			return c.Create(ctx, obj, opts...)
		}})
	if err != nil || len(unfinished(t, c)) != 1 {
		t.Errorf("there are %v, error %v", unfinished(t, c), err)
	}
}

func TestAJobThatCanNotBeMadeIsSaid(t *testing.T) {
	found, err := lookAt(t, onceCluster(t), nil, 1, 2, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return errors.New("no")
		},
	})
	if err == nil || found == nil || found.Active.OK || found.Active.Reason != "FailedCreate" {
		t.Errorf("it says %+v, error %v", found, err)
	}
}

func TestOnceVerdict(t *testing.T) {
	reasons := OnceReasons{Idle: "Idle", Ready: "Ready", Starting: "Starting", Failing: "Failing"}
	running, ending := onceJob(0, 1, 0), onceJob(1, 1, 0)
	running.Status.Active, running.Status.Ready = 1, ptr.To[int32](1)
	ending.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{Succeeded: []types.UID{"a"}}
	bad := func(minute int) *batchv1.Job { return onceJob(3, minute, minute, batchv1.JobFailed) }
	failing := &Verdict{Reason: "Failing", Message: "the last pods ended before they had said what became of their jobs"}
	for name, tt := range map[string]struct {
		jobs []*batchv1.Job
		want *Verdict
	}{
		"none":                    {nil, &Verdict{OK: true, Reason: "Idle", Message: "no worker runs: the first job starts one"}},
		"one has ended":           {[]*batchv1.Job{onceJob(0, 1, 0, batchv1.JobComplete)}, &Verdict{OK: true, Reason: "Idle", Message: "no worker runs: the first job starts one"}},
		"one starts":              {[]*batchv1.Job{running, onceJob(2, 1, 0)}, &Verdict{OK: true, Progressing: true, Reason: "Starting", Message: "1 of 2 pods are ready"}},
		"all run":                 {[]*batchv1.Job{running, ending}, &Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
		"two failed":              {[]*batchv1.Job{running, bad(1), bad(2)}, &Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
		"three failed":            {[]*batchv1.Job{bad(1), bad(2), bad(3)}, failing},
		"and the next one starts": {[]*batchv1.Job{bad(1), bad(2), bad(3), onceJob(2, 1, 0)}, failing},
		"one did well since":      {[]*batchv1.Job{running, bad(1), bad(2), bad(3), onceJob(3, 9, 4, batchv1.JobComplete)}, &Verdict{OK: true, Reason: "Ready", Message: "all pods are ready"}},
	} {
		if diff := cmp.Diff(tt.want, OnceVerdict(values(tt.jobs), reasons)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLastWords(t *testing.T) {
	failed := func(reason string, code int32, init bool) corev1.Pod {
		s := []corev1.ContainerStatus{{Name: "worker", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code}}}}
		p := corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: s}}
		if init {
			s[0].Name = "runner"
			p.Status.InitContainerStatuses, p.Status.ContainerStatuses = s, nil
		}
		slim, err := slimPod(&p)
		if err != nil {
			t.Fatal(err)
		}
		return *slim.(*corev1.Pod)
	}
	well := failed("Completed", 0, false)
	well.Status.Phase = corev1.PodSucceeded
	for want, pods := range map[string][]corev1.Pod{
		"": {well},
		"container \"worker\" ended with OOMKilled (exit code 137): `kubectl logs` of the pod may say why": {well, failed("OOMKilled", 137, false)},
		"container \"runner\" ended with Error (exit code 1): `kubectl logs` of the pod may say why":       {failed("Error", 1, true), failed("OOMKilled", 137, false)},
	} {
		if got := lastWords(pods); got != want {
			t.Errorf("they are %q, want %q", got, want)
		}
		slices.Reverse(pods)
		if got := lastWords(pods); got != want {
			t.Errorf("in another order they are %q", got)
		}
	}
}

func TestFootprintOfJobs(t *testing.T) {
	o := makeOnce(3)
	o.Job.Spec.Template.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")},
	}}}
	f := FootprintOf(nil)
	f.AddOnce(o)
	if got := fmt.Sprint(f.Pods, f.Requests.Cpu()); got != "3 6" {
		t.Errorf("pods and CPU: %s", got)
	}
}
