package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// TestSentinelBinding: what the operator writes is what planes read.
func TestSentinelBinding(t *testing.T) {
	e := hasReplicas(makeEngine(), 3)
	p, err := plan(e, pattern.Inputs{Class: makeClass(), ClusterDomain: "cluster.local"})
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range p.Children {
		secret, ok := child.Object.(*corev1.Secret)
		if !ok {
			continue
		}
		got, err := planeconfig.ParseSentinelURI(strings.ReplaceAll(string(secret.Data["uri"]), "${password}", "s3cret"))
		if err != nil {
			t.Fatal(err)
		}
		want := planeconfig.Sentinel{
			Addresses: strings.Split(string(secret.Data["sentinel.nodes"]), ","), Master: string(secret.Data["sentinel.master"]),
			Username: "default", Password: "s3cret", SentinelUsername: "default", SentinelPassword: "s3cret",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(got.Addresses) != 3 || got.Addresses[2] != "store-eng-2.store-eng-pods.apps.svc.cluster.local:26379" {
			t.Errorf("members are %v", got.Addresses)
		}
	}
	want := "fewer replicas are asked for (1) and all 3 are kept, as the primary may be on any of them: create another Engine to have fewer"
	if p.Recommendation != want {
		t.Errorf("recommendation is %q, want %q", p.Recommendation, want)
	}
}

func TestExternalSentinelBinding(t *testing.T) {
	uri := "redis+sentinel://app:" + password + "@a:26379,b:26379/m/1"
	got, err := redisDriver{}.Binding(map[string][]byte{"uri": []byte(uri + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"host": "a", "port": "26379", "uri": uri, "username": "app", "password": password,
		"sentinel.master": "m", "sentinel.nodes": "a:26379,b:26379"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, source := range []map[string][]byte{
		{"uri": []byte("redis+sentinel://app:" + password + "@a")},
		{"uri": []byte(uri), "ca.crt": []byte("PEM")},
	} {
		if _, err := (redisDriver{}).Binding(source); err == nil {
			t.Errorf("%s is taken", source["uri"])
		} else {
			noLeak(t, err.Error())
		}
	}
}
