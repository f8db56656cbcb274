//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/plane/account"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	s3Port   = 7070
	s3Bucket = "files-1"
)

func s3Engine(namespace, name string) *v1alpha1.Engine {
	e := engineOf(namespace, name, 1)
	e.Spec.Type = v1alpha1.EngineS3
	return e
}

// s3Account makes an account and a bucket in a store as the init container of a consumer does, and returns its client.
func s3Account(t *testing.T, e *v1alpha1.Engine) *minio.Client {
	t.Helper()
	g := NewWithT(t)
	binding := get(t, &corev1.Secret{}, e.Namespace, e.Status.Binding.Name).Data
	binding["uri"] = []byte("http://" + forwardService(t, e.Namespace, e.Name+"-eng", s3Port))
	mount := func(data map[string][]byte) string {
		dir := t.TempDir()
		for name, value := range data {
			g.Expect(os.WriteFile(filepath.Join(dir, name), value, 0o600)).To(Succeed())
		}
		return dir
	}
	admin := mount(binding)
	binding[planeconfig.KeyAccessKeyID] = []byte("files")
	binding[planeconfig.KeySecretAccessKey] = []byte(strings.Repeat("s", 40))
	binding[planeconfig.KeyBucket] = []byte(s3Bucket)
	consumer := mount(binding)
	g.Expect(account.Ensure(ctx, account.Request{
		Engine: string(v1alpha1.EngineS3), Admin: admin, Account: consumer, Timeout: patience, Log: slog.New(slog.DiscardHandler),
	})).To(Succeed())
	s, err := account.S3Connection(consumer)
	g.Expect(err).NotTo(HaveOccurred())
	return enginetest.S3Client(t, s)
}

// s3Put writes an object until it is acknowledged.
func s3Put(t *testing.T, c *minio.Client, key string) {
	t.Helper()
	NewWithT(t).Eventually(func() error {
		_, err := c.PutObject(ctx, s3Bucket, key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{ContentType: "text/x-test"})
		return err
	}, patience, often).Should(Succeed(), key)
}

// s3Objects are the texts of all objects, each with its type.
func s3Objects(t *testing.T, c *minio.Client) func() ([]string, error) {
	t.Helper()
	return func() ([]string, error) {
		var out []string
		for o := range c.ListObjects(ctx, s3Bucket, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				return nil, o.Err
			}
			object, err := c.GetObject(ctx, s3Bucket, o.Key, minio.GetObjectOptions{})
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(object)
			if err != nil {
				return nil, err
			}
			info, err := object.Stat()
			if err != nil {
				return nil, err
			}
			out = append(out, string(text)+" "+info.ContentType)
		}
		return out, nil
	}
}

// TestS3Loss ends the server of a store in every way: what it acknowledged is there, for the same account.
func TestS3Loss(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end.needs(t)
			g := NewWithT(t)
			store := applied(t, s3Engine(newNamespace(t), "store"))
			c := s3Account(t, store)
			var want []string
			put := func(prefix string) {
				for i := range 20 {
					key := fmt.Sprintf("%s/%02d", prefix, i)
					s3Put(t, c, key)
					want = append(want, key+" text/x-test")
				}
			}
			put("before")
			end.by(t, get(t, &corev1.Pod{}, store.Namespace, "store-eng-0"))
			put("meanwhile")
			ready(t, store)
			g.Eventually(s3Objects(t, c), patience, often).Should(ConsistOf(want))
		})
	}
}

// TestS3RollingUpdate replaces the server in order. It is away while that goes on, and has all that it had.
func TestS3RollingUpdate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	store := applied(t, s3Engine(newNamespace(t), "store"))
	c := s3Account(t, store)
	s3Put(t, c, "before")
	before := lives(memberPods(store))
	change(t, store, func(e *v1alpha1.Engine) {
		e.Spec.PodTemplate = &v1alpha1.PodTemplate{Annotations: map[string]v1alpha1.AnnotationValue{"example.com/again": "yes"}}
	})
	g.Eventually(func() bool {
		pods := memberPods(store)
		for name := range lives(pods) {
			if _, old := before[name]; old {
				return false
			}
		}
		return len(readyOnes(pods)) == 1
	}, 2*patience, often).Should(BeTrue(), "the server is a new one")
	s3Put(t, c, "then")
	g.Eventually(s3Objects(t, c), patience, often).Should(ConsistOf("before text/x-test", "then text/x-test"))
}

// TestS3IsDeletedAndComesBack with its objects and accounts, under the policy Retain.
func TestS3IsDeletedAndComesBack(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	store := applied(t, s3Engine(newNamespace(t), "store"))
	s3Put(t, s3Account(t, store), "kept")
	claim := claimOf(t, store.Namespace, store.Name)
	deleted(t, store)
	g.Eventually(func() []corev1.Pod { return podsOf(store.Namespace, nil) }, patience, often).Should(BeEmpty())
	g.Expect(reload(claim)().Labels).To(HaveKeyWithValue(v1alpha1.LabelRetained, "true"))

	store = applied(t, s3Engine(store.Namespace, "store"))
	g.Eventually(s3Objects(t, s3Account(t, store)), patience, often).Should(ConsistOf("kept text/x-test"))
	g.Expect(claimOf(t, store.Namespace, store.Name).UID).To(Equal(claim.UID))
}

// TestS3External is a store by a Secret: wrong at first, which a condition says, and put right.
func TestS3External(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	store := applied(t, s3Engine(newNamespace(t), "store"))
	binding := get(t, &corev1.Secret{}, store.Namespace, store.Status.Binding.Name)
	// The operator is not of this namespace, and what stands for a store of others admits it too.
	g.Expect(admin.Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: store.Namespace, Name: "everybody"},
		Spec:       networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{}}},
	})).To(Succeed())
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: store.Namespace, Name: "managed", Labels: map[string]string{v1alpha1.LabelWatch: "true"}},
		Data: map[string][]byte{
			"uri": binding.Data["uri"], planeconfig.KeyAccessKeyID: binding.Data[planeconfig.KeyAccessKeyID], planeconfig.KeySecretAccessKey: []byte("wrong"),
		},
	}
	g.Expect(admin.Create(ctx, secret)).To(Succeed())
	managed := s3Engine(store.Namespace, "managed")
	managed.Spec.Provisioned, managed.Spec.External = nil, &v1alpha1.ExternalEngine{SecretRef: v1alpha1.SecretReference{Name: "managed"}}
	g.Expect(admin.Create(ctx, managed)).To(Succeed())
	message := func() string {
		for _, c := range reload(managed)().Status.Conditions {
			if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionFalse {
				return c.Message
			}
		}
		return ""
	}
	g.Eventually(message, patience, often).Should(ContainSubstring("refused the signature: correct the Secret's key secretAccessKey"))
	g.Expect(message()).NotTo(ContainSubstring("wrong"))
	change(t, secret, func(s *corev1.Secret) {
		s.Data[planeconfig.KeySecretAccessKey] = binding.Data[planeconfig.KeySecretAccessKey]
	})
	ready(t, managed)
	g.Expect(podsOf(store.Namespace, nil)).To(HaveLen(1), "an external engine has no pods")
}
