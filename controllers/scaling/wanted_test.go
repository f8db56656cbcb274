package scaling

import "testing"

// pods of the given loads that serve; -1 for one that does not say, -2 for one that does not serve.
func pods(loads ...float64) []Pod {
	var out []Pod
	for i, l := range loads {
		p := Pod{Name: string(rune('a' + i)), Ready: l != -2}
		if l >= 0 {
			p.Load = &l
		}
		out = append(out, p)
	}
	return out
}

func total(n float64) Load { return Load{Total: &n} }

func TestWanted(t *testing.T) {
	const unknown = -1
	tests := []struct {
		name    string
		current int32
		load    Load
		want    int32
	}{
		{"just right", 2, Load{Pods: pods(100, 100)}, 2},
		{"within the tolerance", 2, Load{Pods: pods(109, 110)}, 2},
		{"a little above it", 2, Load{Pods: pods(111, 111)}, 3},
		{"within the tolerance below", 2, Load{Pods: pods(90, 90)}, 2},
		{"twice as much", 2, Load{Pods: pods(250, 150)}, 4},
		{"on one pod alone", 3, Load{Pods: pods(900, 0, 0)}, 9},
		{"half as much", 4, Load{Pods: pods(50, 50, 50, 50)}, 2},
		{"nothing", 4, Load{Pods: pods(0, 0, 0, 0)}, 0},
		{"no pod", 2, Load{}, unknown},
		{"no pod says", 2, Load{Pods: pods(-1, -1)}, unknown},
		{"no pod serves yet", 2, Load{Pods: pods(-2, -2)}, unknown},
		{"one that starts counts for nothing when more are wanted", 2, Load{Pods: pods(180, -2)}, 2},
		{"one that starts does not hide that many more are wanted", 2, Load{Pods: pods(500, -2)}, 5},
		{"one that starts is no reason for fewer to stay", 3, Load{Pods: pods(20, 20, -2)}, 1},
		{"one that does not say bears what is aimed at, when fewer are wanted", 3, Load{Pods: pods(40, 40, -1)}, 2},
		{"one that does not say keeps fewer from being wanted", 2, Load{Pods: pods(85, -1)}, 2},
		{"one that does not say bears nothing, when more are wanted", 2, Load{Pods: pods(180, -1)}, 2},
		{"two that do not say turn the decision round", 3, Load{Pods: pods(150, -1, -1)}, 3},
		{"more than a number holds", 1, Load{Pods: pods(1e15)}, 2147483647},
		{"a backlog", 1, total(350), 4},
		{"a backlog within the tolerance", 4, total(380), 4},
		{"no backlog", 4, total(0), 0},
		{"a backlog and no replica", 0, total(1), 1},
		{"no backlog and no replica", 0, total(0), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, known := wanted(tt.current, 100, tt.load)
			if !known {
				got = unknown
			}
			if got != tt.want {
				t.Errorf("%d replicas are wanted, want %d", got, tt.want)
			}
		})
	}
}
