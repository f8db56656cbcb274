//go:build e2e

package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// The video platform as its manifests say, by the client that make demo shows it with.
func TestVideoPlatform(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ns := newNamespace(t)
	// The first of the pipeline comes first, and waits for what it names.
	for _, file := range []string{"bucket", "queue", "gateway"} {
		kubectl(t, ns, "apply", "-f", "examples/video-platform/"+file+".yaml")
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }
	d := open(t, ready(t, &v1alpha1.RealtimeGateway{ObjectMeta: named("screens")}))
	transcodes := ready(t, &v1alpha1.JobQueue{ObjectMeta: named("transcodes")})
	videos := ready(t, &v1alpha1.BlobBucket{ObjectMeta: named("videos")})
	bucket := get(t, &corev1.Secret{}, ns, videos.Status.Binding.Name).Data
	said := runWith(t, []string{
		"TRELLIS_URL=http://" + d.address, "TRELLIS_TOKEN=" + d.token,
		"TRELLIS_BUCKET_URL=http://" + forwardService(t, ns, "videos-blob", 80), "TRELLIS_BUCKET_TOKEN=" + string(bucket["token"]),
		"TRELLIS_STORE=" + forwardService(t, ns, className+"-s3-eng", s3Port),
	}, "", "go", "run", "./hack/demo", "video")
	t.Log(said)
	for _, step := range []string{"blob.pending", "blob.uploaded", "job.accepted", "job.started", "job.progress", "job.succeeded", "the result is an MP4"} {
		g.Expect(said).To(ContainSubstring(step))
	}
	stats, err := counter(t, transcodes).Stats(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stats.Depth[jobs.StatusSucceeded]).To(BeEquivalentTo(1))
	g.Expect(kubectlTrellisTree(t, ns)).To(And(ContainSubstring("JobQueue/transcodes"), ContainSubstring("RealtimeGateway/screens")))
}

func kubectlTrellisTree(t *testing.T, namespace string) string {
	t.Helper()
	return run(t, "", "go", "run", "./cmd/kubectl-trellis", "tree", "-n", namespace, "blob/videos")
}
