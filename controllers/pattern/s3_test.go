package pattern

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/specs"
)

// s3Secret is the Secret of a consumer, with what is generated.
func s3Secret(t *testing.T, b Bucket) map[string]string {
	t.Helper()
	class := makeClass("c").obj()
	in := Inputs{Class: class, Engine: &EngineInput{Type: v1alpha1.EngineS3, Name: "c-s3", BindingSecret: "s"}, ClusterDomain: "cluster.local"}
	child := AccessTo(specs.Owner{Namespace: "apps", Name: "files", Base: "files-blob"}, in, in.Engine, b).Children()[0]
	if err := generate(child.Object, nil, child.Generate, ""); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for key, value := range child.Object.(*corev1.Secret).Data {
		out[key] = string(value)
	}
	if len(out["secretAccessKey"]) != 40 {
		t.Errorf("the secret has %d characters, want 40", len(out["secretAccessKey"]))
	}
	delete(out, "secretAccessKey")
	return out
}

func TestS3AccountNamesItsBucket(t *testing.T) {
	want := map[string]string{
		"uri": "http://c-s3-eng.apps.svc.cluster.local:7070", "region": "us-east-1", "pathStyle": "true", "accessKeyID": "files-blob",
		"bucket": "of-mine", "objectLock": "true", "adopt": "true",
	}
	if diff := cmp.Diff(want, s3Secret(t, Bucket{Name: "of-mine", ObjectLock: true, Adopt: true})); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
}

// TestS3AccountMakesUpItsBucket by the rules of S3, and another one for another pattern of the same name.
func TestS3AccountMakesUpItsBucket(t *testing.T) {
	one, other := s3Secret(t, Bucket{})["bucket"], s3Secret(t, Bucket{})["bucket"]
	if !regexp.MustCompile(`^files-blob-[0-9a-f]{10}$`).MatchString(one) || one == other {
		t.Errorf("the buckets are %q and %q", one, other)
	}
}
