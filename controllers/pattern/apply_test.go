package pattern

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestApplyFailed(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	quota := apierrors.NewForbidden(secrets, "keys", errors.New("exceeded quota"))
	terminating := apierrors.NewForbidden(secrets, "keys", errors.New("it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, tc := range map[string]struct {
		err   error
		want  Verdict
		retry bool
	}{
		"the namespace is going": {
			err: terminating, want: Verdict{Reason: "Progressing", Message: "the namespace is being deleted"},
		},
		"refused": {
			err: quota, retry: true,
			want: Verdict{Reason: "ApplyFailed", Message: `Secret can not be applied: Forbidden: secrets "keys" is forbidden: exceeded quota`},
		},
		"changed meanwhile": {
			err: apierrors.NewConflict(secrets, "keys", errors.New("changed")), retry: true,
			want: Verdict{Reason: "ApplyFailed", Message: "Secret can not be applied: Conflict"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scope{}
			err := s.applyFailed(Child{Object: &corev1.Secret{}}, tc.err)
			if (err != nil) != tc.retry || tc.retry && !errors.Is(err, tc.err) {
				t.Errorf("returned %v", err)
			}
			if diff := cmp.Diff(&tc.want, s.applied); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}
