//go:build integration

package shards

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/internal/plane/shards/table/kube"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/test/integration/framework"
)

// configured is a ShardSet's configuration with so many members.
func configured(t *testing.T, members ...string) string {
	t.Helper()
	s := planeconfig.Shards{
		RingConfigMap: "ring", MoverLease: "mover", ConfigMap: "orders-shs", MembersService: "members", MemberTokenFile: "token", Partitions: 8,
		Key:        planeconfig.ShardKey{Header: "Tenant"},
		Placement:  planeconfig.ShardPlacement{Strategy: "Hash"},
		Router:     planeconfig.ShardRouter{Authentication: "None"},
		Resharding: planeconfig.ShardResharding{Mode: "None"},
		Container:  planeconfig.ShardContainer{Port: 9000},
	}
	for _, id := range members {
		s.Members = append(s.Members, planeconfig.ShardMember{ID: id})
	}
	data, err := planeconfig.Encode(planeconfig.Config{Kind: "ShardSet", Namespace: "n", Name: "orders", Auth: planeconfig.Auth{TokenFile: "token", SigningKeyFile: "key"}, Shards: &s})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestTheConfigurationIsFollowed as it changes, is damaged, and is removed and made anew; nothing is told twice.
func TestTheConfigurationIsFollowed(t *testing.T) {
	c := client(t)
	namespace := framework.NewBareNamespace(t)
	cms := c.CoreV1().ConfigMaps(namespace)
	put := func(data string) {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "orders-shs"}, Data: map[string]string{planeconfig.FileName: data}}
		_, err := cms.Update(t.Context(), cm, metav1.UpdateOptions{})
		if err != nil {
			_, err = cms.Create(t.Context(), cm, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	told := make(chan string, 64)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() {
		err := kube.FollowConfig(ctx, c, namespace, "orders-shs", func(c planeconfig.Config) {
			var ids []string
			for _, m := range c.Shards.Members {
				ids = append(ids, m.ID)
			}
			told <- strings.Join(ids, " ")
		}, func(error) { told <- "refused" })
		if err != nil {
			t.Error(err)
		}
	})
	want := func(what string) {
		t.Helper()
		select {
		case got := <-told:
			if diff := cmp.Diff(what, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		case <-ctx.Done():
			t.Fatalf("nothing was told of %s", what)
		}
	}
	put(configured(t, "a"))
	want("a")
	put(configured(t, "a", "b"))
	want("a b")
	put("{")
	want("refused")
	put(configured(t, "a", "b", "c"))
	want("a b c")
	if err := cms.Delete(t.Context(), "orders-shs", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	put(configured(t, "a", "b", "c"))
	put(configured(t, "d"))
	want("d")
}
