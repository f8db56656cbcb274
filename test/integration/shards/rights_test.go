//go:build integration

package shards

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// applied ShardSets of a namespace, which the operator has given all that is theirs.
func applied(t *testing.T, names ...string) string {
	t.Helper()
	namespace := framework.NewNamespace(t)
	framework.PlayMover(t, namespace)
	framework.StartOperator(t, framework.OperatorOptions{Namespace: namespace})
	class := framework.NewClass(t)
	for _, name := range names {
		s := &v1alpha1.ShardSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		s.Spec.ClassName, s.Spec.Shards, s.Spec.Partitions, s.Spec.Key.Header = class.Name, 2, 16, "X-Key"
		s.Spec.Template, s.Spec.Resharding.Mode = v1alpha1.ShardTemplate{Image: "example.com/counter:1", Port: 9000}, v1alpha1.ReshardNothing
		if err := framework.Admin.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); ; <-time.After(25 * time.Millisecond) {
		var list v1alpha1.ShardSetList
		err := cmp.Or(framework.Admin.List(t.Context(), &list, ctrl.InNamespace(namespace)), framework.Moved(t.Context(), namespace))
		if err == nil && !slices.ContainsFunc(list.Items, func(s v1alpha1.ShardSet) bool { return s.Status.Ring == nil }) {
			return namespace
		}
		if time.Since(begin) > patience {
			t.Fatalf("the ShardSets do not come to serve: %v", err)
		}
	}
}

// as is a client with a token of a ServiceAccount, as its pods have one.
func as(t *testing.T, namespace, account string) kubernetes.Interface {
	t.Helper()
	token, err := client(t).CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(&rest.Config{
		Host: framework.Config.Host, BearerToken: token.Status.Token, TLSClientConfig: rest.TLSClientConfig{CAData: framework.Config.CAData},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rules that a ServiceAccount has in a namespace besides those of each that has been given none.
func rules(t *testing.T, home, account, namespace string) []authorizationv1.ResourceRule {
	t.Helper()
	nobodys := allRules(t, as(t, home, "nobody"), namespace)
	out := slices.DeleteFunc(allRules(t, as(t, home, account), namespace), func(r authorizationv1.ResourceRule) bool {
		return slices.ContainsFunc(nobodys, func(n authorizationv1.ResourceRule) bool { return gocmp.Equal(r, n) })
	})
	slices.SortFunc(out, func(a, b authorizationv1.ResourceRule) int {
		return cmp.Or(cmp.Compare(a.Resources[0], b.Resources[0]), cmp.Compare(len(a.Verbs), len(b.Verbs)))
	})
	return out
}

func allRules(t *testing.T, c kubernetes.Interface, namespace string) []authorizationv1.ResourceRule {
	t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	review, err := c.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), review, metav1.CreateOptions{})
	if err != nil || review.Status.Incomplete {
		t.Fatalf("which rights there are is not known: %v, %s", err, review.Status.EvaluationError)
	}
	return review.Status.ResourceRules
}

// TestWhatPodsMayDo is all that there is.
func TestWhatPodsMayDo(t *testing.T) {
	namespace := applied(t, "orders")
	nobody := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "nobody"}}
	if err := framework.Admin.Create(t.Context(), nobody); err != nil {
		t.Fatal(err)
	}
	rule := func(group, resource, name string, verbs ...string) authorizationv1.ResourceRule {
		out := authorizationv1.ResourceRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
		if name != "" {
			out.ResourceNames = []string{name}
		}
		return out
	}
	for account, want := range map[string][]authorizationv1.ResourceRule{
		"orders-shs": {
			rule("", "configmaps", "orders-shs", "get", "list", "watch"),
			rule("", "configmaps", "orders-shs-ring", "get", "list", "watch", "update", "patch"),
			rule("discovery.k8s.io", "endpointslices", "", "get", "list", "watch"),
			rule("coordination.k8s.io", "leases", "", "create"),
			rule("coordination.k8s.io", "leases", "orders-shs-mover", "get", "update", "patch"),
		},
		"orders-shs-members": {rule("", "configmaps", "orders-shs-ring", "get", "list", "watch")},
	} {
		if diff := gocmp.Diff(want, rules(t, namespace, account, namespace)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", account, diff)
		}
		if got := rules(t, namespace, account, framework.NewBareNamespace(t)); len(got) > 0 {
			t.Errorf("%s may do something in another namespace: %v", account, got)
		}
	}
}

// TestRoutersCanDoTheirWork with their own rights.
func TestRoutersCanDoTheirWork(t *testing.T) {
	namespace := applied(t, "orders")
	c := as(t, namespace, "orders-shs")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	store := kube.NewStore(c, namespace, "orders-shs-ring")
	state, version, err := store.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	state.Term = 7
	if _, err := store.Write(ctx, state, version); err != nil {
		t.Fatal(err)
	}
	watches(t, store, 7)
	configured := false
	err = kube.FollowConfig(ctx, c, namespace, "orders-shs", func(planeconfig.Config) { configured = true; cancel() }, func(err error) { t.Error(err) })
	if err != nil || !configured {
		t.Errorf("the configuration is not seen: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	defer cancel()
	members, err := kube.NewMembers(c, namespace, "orders-shs-members")
	if err != nil {
		t.Fatal(err)
	}
	var run sync.WaitGroup
	defer run.Wait()
	defer cancel()
	run.Go(func() { _ = members.Run(ctx) })
	if err := members.Synced(ctx); err != nil {
		t.Fatal(err)
	}
	led := make(chan error, 1)
	run.Go(func() {
		err := kube.Elect(ctx, c, namespace, "orders-shs-mover", "one", slog.New(slog.DiscardHandler), func(ctx context.Context) {
			select {
			case led <- kube.Belong(ctx, c, namespace, "orders-shs-mover", "orders-shs-ring"):
			default:
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	select {
	case err := <-led:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("no router was elected")
	}
}

// watches until a term is seen.
func watches(t *testing.T, store *kube.Store, term uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := false
	err := store.Watch(ctx, func(s table.State) {
		if s.Term == term {
			seen = true
			cancel()
		}
	})
	if err != nil || !seen {
		t.Errorf("the table is not seen: %v", err)
	}
}

// TestMembersCanReadTheTableAlone, and routers nothing of another ShardSet.
func TestMembersCanReadTheTableAlone(t *testing.T) {
	namespace := applied(t, "orders", "other")
	member, router := as(t, namespace, "orders-shs-members"), as(t, namespace, "orders-shs")
	store := kube.NewStore(member, namespace, "orders-shs-ring")
	state, version, err := store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	watches(t, store, state.Term)
	_, written := store.Write(t.Context(), state, version)
	_, _, read := kube.NewStore(router, namespace, "other-shs-ring").Read(t.Context())
	for what, err := range map[string]error{
		"a member writes the table":            written,
		"a router reads that of another set":   read,
		"a router deletes the table":           router.CoreV1().ConfigMaps(namespace).Delete(t.Context(), "orders-shs-ring", metav1.DeleteOptions{}),
		"a router lists all ConfigMaps":        second(router.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})),
		"a router reads another configuration": second(router.CoreV1().ConfigMaps(namespace).Get(t.Context(), "other-shs", metav1.GetOptions{})),
		"a router writes its configuration":    second(router.CoreV1().ConfigMaps(namespace).Update(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "orders-shs"}}, metav1.UpdateOptions{})),
		"a router makes a ConfigMap":           second(router.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})),
		"a router reads a Secret":              second(router.CoreV1().Secrets(namespace).Get(t.Context(), "orders-shs-keys", metav1.GetOptions{})),
		"a router reads another mover's Lease": second(router.CoordinationV1().Leases(namespace).Get(t.Context(), "other-shs-mover", metav1.GetOptions{})),
		"a router lists pods":                  second(router.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})),
		"a member reads a Secret":              second(member.CoreV1().Secrets(namespace).Get(t.Context(), "orders-shs-keys", metav1.GetOptions{})),
		"a member lists all ConfigMaps":        second(member.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})),
		"a member finds others":                second(member.DiscoveryV1().EndpointSlices(namespace).List(t.Context(), metav1.ListOptions{})),
		"a member reads the mover's Lease":     second(member.CoordinationV1().Leases(namespace).Get(t.Context(), "orders-shs-mover", metav1.GetOptions{})),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: error is %v, want forbidden", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
