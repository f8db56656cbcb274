package realtime

import (
	"strings"
	"testing"
)

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

// A server says while it loads its file that it writes none.
func TestAServerThatLoadsIsNotAsked(t *testing.T) {
	const loading = "# Persistence\r\nloading:1\r\nasync_loading:0\r\naof_enabled:0\r\n"
	if fields, err := infoFields(loading); err == nil {
		t.Errorf("believed: %v", fields)
	}
	fields, err := infoFields(strings.Replace(loading, "loading:1", "loading:0", 1))
	if err != nil || fields["aof_enabled"] != "0" {
		t.Errorf("%v, %v", fields, err)
	}
}
