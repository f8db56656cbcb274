package engine

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// primary is the member that all running ones follow by one of the passwords, nil while they do not.
func (g *memberGroup) primary(t *testing.T, passwords ...string) *member {
	t.Helper()
	var primary *member
	running, following := 0, 0
	for _, m := range g.members {
		if m.server == nil {
			continue
		}
		running++
		info := m.info(t, passwords)
		switch {
		case strings.Contains(info, "role:master"):
			if primary != nil {
				return nil
			}
			primary = m
		case strings.Contains(info, "master_link_status:up"):
			following++
		}
	}
	if primary == nil || following != running-1 {
		return nil
	}
	if !strings.Contains(primary.info(t, passwords), fmt.Sprintf("connected_slaves:%d", following)) {
		return nil
	}
	return primary
}

// info of the replication, by the first password that is accepted.
func (m *member) info(t *testing.T, passwords []string) string {
	t.Helper()
	for _, password := range passwords {
		if text, err := m.client(t, m.engine.port, password).Info(t.Context(), "replication").Result(); err == nil {
			return text
		}
	}
	return ""
}

// together waits, probing as kubelets do, until all members are ready and follow one; and returns it.
func (g *memberGroup) together(t *testing.T, passwords ...string) *member {
	t.Helper()
	var primary *member
	soon(t, "the members to be together", func() bool {
		if !g.probe() || !g.known(t, passwords) {
			return false
		}
		primary = g.primary(t, passwords...)
		return primary != nil
	})
	return primary
}

// known is true when every Sentinel, where there are any, has heard of all members, which takes it up to
// 10 s: it promotes none that it has not heard of.
func (g *memberGroup) known(t *testing.T, passwords []string) bool {
	t.Helper()
	if len(g.members) == 1 {
		return true
	}
	others := fmt.Sprint(len(g.members) - 1)
	for _, m := range g.members {
		said := map[string]string{}
		for _, password := range passwords {
			if fields, err := m.client(t, g.sentinel, password).Do(t.Context(), "SENTINEL", "MASTER", "mymaster").StringSlice(); err == nil {
				for i := 0; i+1 < len(fields); i += 2 {
					said[fields[i]] = fields[i+1]
				}
				break
			}
		}
		if said["num-slaves"] != others || said["num-other-sentinels"] != others {
			return false
		}
	}
	return true
}

// reconnect breaks the replicas' links, so that they authenticate anew, and waits until they are back.
func (g *memberGroup) reconnect(t *testing.T, passwords ...string) {
	t.Helper()
	p := g.together(t, passwords...)
	for _, password := range passwords {
		if p.client(t, g.port, password).ClientKillByFilter(t.Context(), "TYPE", "replica").Err() == nil {
			break
		}
	}
	g.together(t, passwords...)
}

// each is true when a test holds for every member.
func (g *memberGroup) each(holds func(*member) bool) func() bool {
	return func() bool {
		g.probe()
		return !slices.ContainsFunc(g.members, func(m *member) bool { return !holds(m) })
	}
}

// offers is true when a member authenticates at others with a password.
func (m *member) offers(t *testing.T, password string) bool {
	t.Helper()
	got, err := m.client(t, m.engine.port, password).ConfigGet(t.Context(), "masterauth").Result()
	return err == nil && got["masterauth"] == password
}

// TestMembersTakeUpPasswords rotates twice. The Secret reaches the members one by one, the replicas' links
// break in between, and the primary ends while only one member knows of the new password.
func TestMembersTakeUpPasswords(t *testing.T) {
	t.Parallel()
	g := startMembers(t, 3, "first")
	primary := g.together(t, "first")
	kept := primary.client(t, g.port, "first")
	if err := kept.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}

	for _, m := range g.members {
		m.mount(t, "second", "first")
		soon(t, "a member to take it up", func() bool { m.ready(); return m.accepts(t, "second") && m.accepts(t, "first") })
		g.reconnect(t, "first", "second")
	}
	soon(t, "all to use it", g.each(func(m *member) bool { return m.offers(t, "second") }))
	g.reconnect(t, "second")
	if err := kept.Ping(t.Context()).Err(); err != nil {
		t.Errorf("a client from before: %v", err)
	}

	// The one that is ahead is no primary, and has to authenticate at members that are behind.
	primary = g.together(t, "second")
	others := slices.DeleteFunc(slices.Clone(g.members), func(m *member) bool { return m == primary })
	others[0].mount(t, "third", "second")
	soon(t, "one member to be ahead", func() bool { others[0].ready(); return others[0].accepts(t, "third") })
	primary.kill()
	g.failover(t, primary, "third", "second")
	// What starts anew reads the Secret as it is, and is let in by those that know of none.
	primary.mount(t, "third", "second")
	primary.start(t)
	g.together(t, "third", "second")
	others[1].mount(t, "third", "second")
	soon(t, "all to use it", g.each(func(m *member) bool { return m.offers(t, "third") }))
	for _, m := range g.members {
		if !m.refuses(t, "first") || !m.accepts(t, "second") || !m.accepts(t, "third") {
			t.Errorf("member %s: first refused %t, second accepted %t, third accepted %t", m.host,
				m.refuses(t, "first"), m.accepts(t, "second"), m.accepts(t, "third"))
		}
	}
	g.reconnect(t, "third")
	secretsAreNoArguments(t, g)
}

// TestAReplicaThatIsNotToldFollows has a replica follow nobody, while no Sentinel would tell it whom to follow.
func TestAReplicaThatIsNotToldFollows(t *testing.T) {
	t.Parallel()
	g := startMembers(t, 3, "first")
	primary := g.together(t, "first")
	for _, m := range g.members {
		if err := m.client(t, g.sentinel, "first").Do(t.Context(), "SENTINEL", "SET", "mymaster", "failover-timeout", "36000000").Err(); err != nil {
			t.Fatal(err)
		}
	}
	i := slices.IndexFunc(g.members, func(m *member) bool { return m != primary })
	lost := g.members[i]
	nobody := lost.host[:strings.LastIndex(lost.host, ".")] + ".200"
	if err := lost.client(t, g.port, "first").Do(t.Context(), "REPLICAOF", nobody, g.port).Err(); err != nil {
		t.Fatal(err)
	}
	if got := g.together(t, "first"); got != primary {
		t.Errorf("all follow %s, want %s", got.host, primary.host)
	}
}

// failover waits until the members that are left follow another than the lost one.
func (g *memberGroup) failover(t *testing.T, lost *member, passwords ...string) {
	t.Helper()
	soon(t, "another to take over", func() bool {
		for _, m := range g.members {
			if m != lost {
				m.ready()
			}
		}
		return g.primary(t, passwords...) != nil
	})
}

// secretsAreNoArguments: what a process was started with can be seen by all.
func secretsAreNoArguments(t *testing.T, g *memberGroup) {
	t.Helper()
	for _, m := range g.members {
		for _, process := range []*exec.Cmd{m.server, m.watch} {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process.Process.Pid))
			if err != nil || !strings.Contains(string(line), "server") {
				t.Fatalf("read what runs: %q, %v", line, err)
			}
			for _, password := range []string{"first", "second", "third"} {
				if strings.Contains(string(line), password) {
					t.Errorf("%q holds a password", line)
				}
			}
		}
	}
}

// TestMemberThatMissedARotation has a member see the Secret only after it was rotated three times.
func TestMemberThatMissedARotation(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			g := startMembers(t, n, "first")
			g.together(t, "first")
			late := g.members[n-1]
			for _, passwords := range [][2]string{{"second", "first"}, {"third", "second"}, {"fourth", "third"}} {
				for _, m := range g.members[:n-1] {
					m.mount(t, passwords[0], passwords[1])
					soon(t, "a member to take it up", func() bool { m.ready(); return m.accepts(t, passwords[0]) })
				}
			}
			late.mount(t, "fourth", "third")
			soon(t, "all to use it", g.each(func(m *member) bool { return m.accepts(t, "fourth") && m.refuses(t, "first") }))
			g.reconnect(t, "fourth")
		})
	}
}

// TestServerAlone rotates the password of a single server and restarts it.
func TestServerAlone(t *testing.T) {
	t.Parallel()
	g := startMembers(t, 1, "first")
	m := g.members[0]
	g.together(t, "first")
	kept := m.client(t, g.port, "first")
	if err := kept.Set(t.Context(), "a", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	number := kept.ClientID(t.Context()).Val()
	m.mount(t, "second", "first")
	soon(t, "it to take it up", func() bool { return m.ready() && m.accepts(t, "second") })
	if !m.accepts(t, "first") {
		t.Error("the password before is not accepted any more")
	}
	if got, err := kept.ClientID(t.Context()).Result(); err != nil || got != number {
		t.Errorf("the connection from before was cut: it was %d and is %d, %v", number, got, err)
	}
	m.kill()
	m.start(t)
	g.together(t, "second")
	if !m.accepts(t, "first") {
		t.Error("after a restart, the password before is not accepted any more")
	}
	m.mount(t, "third", "second")
	soon(t, "it to take it up", func() bool { return m.ready() && m.accepts(t, "third") && m.refuses(t, "first") })
	var got string
	if err := m.client(t, g.port, "third").Get(t.Context(), "a").Scan(&got); err != nil || got != "1" {
		t.Errorf("the data: %q, %v", got, err)
	}
}

func TestRotatable(t *testing.T) {
	set := func(change func(*appsv1.StatefulSet)) []client.Object {
		s := &appsv1.StatefulSet{}
		s.Generation = 2
		s.Spec.Replicas = ptr.To[int32](3)
		s.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: "config"}, {Name: runVolume}}
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3}
		change(s)
		return []client.Object{&corev1.Secret{}, nil, s}
	}
	waits := pattern.Verdict{Reason: "RotationWaiting", Message: "waits until every member is up to date and ready"}
	ok := pattern.Verdict{OK: true}
	tests := []struct {
		name   string
		engine *v1alpha1.Engine
		alive  []client.Object
		want   pattern.Verdict
	}{
		{"all are ready", makeEngine(), set(func(*appsv1.StatefulSet) {}), ok},
		{"there are none yet", makeEngine(), []client.Object{&corev1.Secret{}, nil, nil}, ok},
		{"it is suspended", makeEngine(), set(func(s *appsv1.StatefulSet) { s.Spec.Replicas, s.Status.ReadyReplicas = ptr.To[int32](0), 0 }), ok},
		{"one is not ready", makeEngine(), set(func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 2 }), waits},
		{"one is old", makeEngine(), set(func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas = 2 }), waits},
		{"a change is not observed", makeEngine(), set(func(s *appsv1.StatefulSet) { s.Generation = 3 }), waits},
		{"of an older version", makeEngine(), set(func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes = s.Spec.Template.Spec.Volumes[:1] }),
			pattern.Verdict{Reason: "RotationWaiting", Message: "the pods are of a version of Trellis that could not rotate: let their update go first (condition UpdateAvailable)"}},
		{"external", makeEngine(elsewhere("mine")), nil, pattern.Verdict{Reason: "RotatedElsewhere", Message: "the credentials of this engine are its owner's, and are not rotated here: " +
			"have it accept a new password beside the old one, put the new one into the Secret that secretRef names, and end the old one two minutes later"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, rotatable(tt.engine, pattern.Inputs{Class: makeClass()}, tt.alive)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
