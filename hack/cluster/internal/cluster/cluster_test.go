package cluster

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/trellis-dev/trellis/hack/cluster/internal/layout"
	"github.com/trellis-dev/trellis/hack/cluster/internal/progress"
)

func TestPortNumber(t *testing.T) {
	ports := []corev1.ServicePort{
		{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)},
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		{Name: "named", Port: 90, TargetPort: intstr.FromString("x")},
	}
	plain := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7", Ports: ports}}
	headless := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: ports}}
	for name, test := range map[string]struct {
		service *corev1.Service
		port    string
		want    int32
		failure string
	}{
		"by name":           {plain, "http", 80, ""},
		"by number":         {plain, "80", 80, ""},
		"headless":          {headless, "http", 8080, ""},
		"headless, by name": {headless, "named", 90, ""},
		"no such port":      {plain, "81", 0, "http=80"},
		"UDP":               {plain, "dns", 0, "only TCP"},
	} {
		got, err := portNumber(test.service, test.port)
		if got != test.want || (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
}

func TestReconcileRecord(t *testing.T) {
	for name, test := range map[string]struct {
		have  *record
		asked int
		want  record
		fails bool
	}{
		"a new cluster":              {nil, 0, record{Nodes: 1}, false},
		"a new cluster of two nodes": {nil, 2, record{Nodes: 2}, false},
		"a boot that broke off":      {&record{Nodes: 3, APIPort: 7}, 2, record{Nodes: 2}, false},
		"one that runs":              {&record{Nodes: 2, APIPort: 7, Booted: true}, 0, record{Nodes: 2, APIPort: 7, Booted: true}, false},
		"one that grows":             {&record{Nodes: 1, APIPort: 7, Booted: true}, 2, record{Nodes: 2, APIPort: 7, Booted: true}, false},
		"one that should shrink":     {&record{Nodes: 2, Booted: true}, 1, record{}, true},
		"a number that is none":      {nil, -1, record{}, true},
	} {
		l, err := layout.New("/tmp", "unit-test-of-reconcile")
		if err != nil {
			t.Fatal(err)
		}
		c := &Cluster{Cluster: l, Progress: progress.Discard()}
		if err := c.clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		if test.have != nil {
			if err := c.store(*test.have); err != nil {
				t.Fatal(err)
			}
		}
		got, err := c.reconcileRecord(t.Context(), Request{Nodes: test.asked})
		if (err != nil) != test.fails || !test.fails && (got.Nodes != test.want.Nodes || got.Booted != test.want.Booted || got.APIPort != test.want.APIPort) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if err := c.clear(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotRunningSaysWhatToDo(t *testing.T) {
	l, err := layout.New("/tmp", "unit-test-of-nothing")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Cluster: l, Progress: progress.Discard()}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "trellis-cluster up --name unit-test-of-nothing") {
		t.Errorf("got %v", err)
	}
}
