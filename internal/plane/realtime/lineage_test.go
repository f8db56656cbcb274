package realtime

import "testing"

func TestBreach(t *testing.T) {
	known := mark{Failover: "3", Server: "a"}
	tests := []struct {
		name        string
		before, now mark
		info        serverInfo
		want        string
	}{
		{"first use", mark{}, known, serverInfo{}, ""},
		{"nothing happened", known, known, serverInfo{promoted: true}, ""},
		{"a fail-over", known, mark{"4", "b"}, serverInfo{synced: true}, "fail-over"},
		{"Sentinels that forgot", known, mark{"0", "a"}, serverInfo{synced: true}, "fail-over"},
		{"Sentinels that are new", mark{"", "a"}, known, serverInfo{synced: true}, ""},
		{"a promotion that no Sentinel tells of", known, mark{"3", "b"}, serverInfo{promoted: true, synced: true}, "promotion"},
		{"a restart", known, mark{"3", "b"}, serverInfo{synced: true}, ""},
		{"a restart that may lose writes", known, mark{"3", "b"}, serverInfo{}, "a restart without appendfsync always"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := breach(tt.before, tt.now, tt.info); got != tt.want {
				t.Errorf("breach is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEscapeGlob(t *testing.T) {
	if got, want := escapeGlob(`a*b?[c]\`), `a\*b\?\[c\]\\`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
