//go:build integration

package laws

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// operatorUser may do what the operator may, without what is taken away.
func operatorUser(t testing.TB, name string, without func(rbacv1.PolicyRule) bool) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(framework.Root(), "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(data, role); err != nil {
		t.Fatal(err)
	}
	all := len(role.Rules)
	if role.Rules = slices.DeleteFunc(role.Rules, without); all == 0 {
		t.Fatal("the operator may do nothing")
	}
	role.Name = name
	bound := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	}
	if err := errors.Join(framework.Admin.Create(ctx, role), framework.Admin.Create(ctx, bound)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(framework.Admin.Delete(ctx, role), framework.Admin.Delete(ctx, bound)); err != nil {
			t.Error(err)
		}
	})
	return name
}

// rights: with those that the operator is given it does all that an example takes, and deletes it again.
func (s subject) rights(t testing.TB, e example, user string) error {
	e = e.with(setPolicy(v1alpha1.DeletionDelete))
	e.name += "," + string(v1alpha1.DeletionDelete)
	want, err := s.undisturbed(t, e)
	if err != nil {
		return err
	}
	ns := e.namespace(t)
	op := s.startOne(t, framework.OperatorOptions{Namespace: ns, User: user})
	defer op.Stop()
	if err := e.apply(ns); err != nil {
		return err
	}
	isRefused := func() bool { return refused(op) != nil }
	err = until(op, ns, func() error {
		if isRefused() {
			// There is nothing to wait for.
			return nil
		}
		return settledIn(op, ns, func() error { return compare(ns, want.state) })
	})
	if err == nil && !isRefused() {
		err = deleteAll(op, e, ns)
	}
	return errors.Join(err, refused(op))
}

// refused are the calls of an operator that it has no right to.
func refused(op *operator) error {
	var out []error
	for _, c := range op.Calls() {
		if c.Code == http.StatusForbidden {
			out = append(out, fmt.Errorf("%s: the operator has no right to that", c))
		}
	}
	return errors.Join(out...)
}

func TestTheOperatorsRightsSuffice(t *testing.T) {
	user := operatorUser(t, "operator", func(rbacv1.PolicyRule) bool { return false })
	t.Run("every", func(t *testing.T) {
		for _, e := range some(t, "realtimegateway-stateful", "engine-nats", "jobqueue-minimal", "blobbucket-minimal", "shardset-everything") {
			check(t, e.name, func(t *testing.T) error { return trellis.rights(t, e, user) })
		}
	})
}

// TestAnOperatorWithoutARightIsCaught plants one that may give nobody a Lease.
func TestAnOperatorWithoutARightIsCaught(t *testing.T) {
	t.Parallel()
	user := operatorUser(t, "operator-without-leases", func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "leases") })
	caught(t, trellis.rights(t, sample(t, "shardset-minimal"), user), "the operator has no right to that")
}
