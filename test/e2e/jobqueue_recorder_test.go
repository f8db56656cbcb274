//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/e2e/jobhistory"
)

// note gives an event the recorder's time, which only grows, and keeps it.
const note = `local t = redis.call('TIME')
local now, last = t[1] * 1000000 + t[2], tonumber(redis.call('GET', 'last') or '0')
if now <= last then now = last + 1 end
redis.call('SET', 'last', string.format('%.0f', now))
redis.call('RPUSH', 'events', string.format('%.0f', now) .. ' ' .. ARGV[1])
return string.format('%.0f', now)`

// recordingJob is what a worker of a storm does: it notes its start and its end, and takes as long and fails as
// often as the job's metadata says.
const recordingJob = `note() {
  until valkey-cli -h recorder eval "$SCRIPT" 0 "$1" >/dev/null 2>&1; do sleep 0.2; done
}
note "start $TRELLIS_JOB_ID $TRELLIS_METADATA_KEY $TRELLIS_JOB_TOKEN $TRELLIS_JOB_ATTEMPT $HOSTNAME"
echo 50 half >"$TRELLIS_PROGRESS_FILE"
sleep "$TRELLIS_METADATA_SECONDS"
note "end $TRELLIS_JOB_ID $TRELLIS_JOB_TOKEN"
[ "$TRELLIS_JOB_ATTEMPT" -gt "$TRELLIS_METADATA_FAILURES" ] || { echo "as asked for" >&2; exit 3; }
echo '{"done":true}'
`

// recorder orders what the workers of a storm do. It is no part of what is tested, and nothing happens to it.
type recorder struct {
	t      *testing.T
	client *redis.Client
}

// startRecorder runs one on a node that is not drained.
func startRecorder(t *testing.T, namespace, node string) *recorder {
	t.Helper()
	g := NewWithT(t)
	labels := map[string]string{"e2e.trellis.dev/part": "recorder"}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "recorder", Labels: labels},
		Spec: corev1.PodSpec{
			NodeName: node, TerminationGracePeriodSeconds: ptr.To[int64](0),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](999), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "recorder", Image: shellImage, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"valkey-server", "--save", "", "--protected-mode", "no"},
				Ports:   []corev1.ContainerPort{{Name: "redis", ContainerPort: 6379}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "recorder"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Name: "redis", Port: 6379}}},
	}
	for _, obj := range []client.Object{pod, service} {
		g.Expect(admin.Create(ctx, obj)).To(Succeed())
	}
	g.Eventually(func() []corev1.Pod { return readyOnes(podsOf(namespace, labels)) }, patience, often).Should(HaveLen(1))
	r := &recorder{t: t, client: redis.NewClient(&redis.Options{Addr: forwardService(t, namespace, "recorder", 6379), MaxRetries: 5})}
	t.Cleanup(func() { _ = r.client.Close() })
	g.Eventually(func() error { return r.client.Ping(ctx).Err() }, patience, often).Should(Succeed())
	return r
}

// mark returns the recorder's time.
func (r *recorder) mark(words string) jobhistory.Place {
	r.t.Helper()
	var text string
	NewWithT(r.t).Eventually(func() (err error) {
		text, err = r.client.Eval(ctx, note, nil, "mark "+words).Text()
		return err
	}, patience, often).Should(Succeed())
	return place(r.t, text)
}

// disrupted does something to the queue's parts, and notes from when to when. It hit one worker, where do names one.
func (r *recorder) disrupted(name string, do func() string) jobhistory.Disruption {
	d := jobhistory.Disruption{Name: name, From: r.mark(name)}
	d.Worker = do()
	d.To = r.mark(name)
	return d
}

// started counts the runs so far.
func (r *recorder) started() (int, error) {
	events, err := r.client.LRange(ctx, "events", 0, -1).Result()
	n := 0
	for _, e := range events {
		if strings.Contains(e, " start ") {
			n++
		}
	}
	return n, err
}

// runs are those of all workers.
func (r *recorder) runs() []jobhistory.Run {
	r.t.Helper()
	events, err := r.client.LRange(ctx, "events", 0, -1).Result()
	NewWithT(r.t).Expect(err).NotTo(HaveOccurred())
	var out []jobhistory.Run
	lease := map[string]int{}
	for _, e := range events {
		f := strings.Fields(e)
		switch {
		case len(f) == 7 && f[1] == "start":
			lease[f[2]+" "+f[4]] = len(out)
			out = append(out, jobhistory.Run{ID: f[2], Key: f[3], Token: number(r.t, f[4]), Attempt: int(number(r.t, f[5])), Worker: f[6], Start: place(r.t, f[0])})
		case len(f) == 4 && f[1] == "end":
			at, ok := lease[f[2]+" "+f[3]]
			NewWithT(r.t).Expect(ok).To(BeTrue(), "an end without a start: %s", e)
			out[at].End = place(r.t, f[0])
		case len(f) > 1 && f[1] == "mark":
		default:
			r.t.Errorf("the recorder has %q", e)
		}
	}
	return out
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), fmt.Sprintf("%q is a number", text))
	return n
}

func place(t *testing.T, text string) jobhistory.Place { return jobhistory.Place(number(t, text)) }
