package scaling

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const someMetrics = `# TYPE trellis_plane_info gauge
trellis_plane_info{version="v0.1.0"} 1
# TYPE trellis_plane_connections gauge
trellis_plane_connections{protocol="SSE"} 7
trellis_plane_connections{protocol="WebSocket"} 35
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile="0.5"} 1e-05
go_gc_duration_seconds_sum 1
go_gc_duration_seconds_count 2
`

func TestRead(t *testing.T) {
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, text) }
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		always bool
		want   float64
		err    string
	}{
		{"a sum over labels", answer(someMetrics), false, 42, ""},
		{"nothing counted yet", answer("# TYPE trellis_plane_info gauge\ntrellis_plane_info 1\n"), false, 0, ""},
		{"no plane", answer("# TYPE up gauge\nup 1\n"), false, 0, "no plane"},
		{"always told", answer("# TYPE trellis_plane_connections gauge\ntrellis_plane_connections 3\n"), true, 3, ""},
		{"not told", answer("# TYPE trellis_plane_info gauge\ntrellis_plane_info 1\n"), true, 0, "there is no trellis_plane_connections"},
		{"not known", answer("# TYPE trellis_plane_connections gauge\ntrellis_plane_connections NaN\n"), true, 0, "is not known"},
		{"no metrics", answer("<html>"), false, 0, "read metrics"},
		{"an error", http.NotFound, false, 0, "404"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, false, 0, "does not redirect"},
		{"more than is read", answer(someMetrics + strings.Repeat("# "+strings.Repeat("x", 1022)+"\n", 5<<10)), false, 0, "read metrics"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			got, err := readFrom(t, server.URL, tt.always)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("error is %v, want %q", err, tt.err)
			}
			if got != tt.want {
				t.Errorf("load is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReadOneOfItsLabels(t *testing.T) {
	gauge := Gauge{Name: "trellis_plane_connections", Label: "protocol", Value: "SSE", Always: true}
	families, err := familiesOf(strings.NewReader(someMetrics))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sumOf(families, gauge); got != 7 || err != nil {
		t.Errorf("%v, %v, want 7", got, err)
	}
	gauge.Value = "carrier pigeon"
	if got, err := sumOf(families, gauge); err == nil || !strings.Contains(err.Error(), `no trellis_plane_connections with protocol="carrier pigeon"`) {
		t.Errorf("%v, %v of a label that nobody tells", got, err)
	}
}

// A pod of the version before does not tell what is asked for.
func TestReadAnOlderPod(t *testing.T) {
	for name, want := range map[string]float64{"trellis_plane_connections": 42, "trellis_plane_tomorrow": 1} {
		families, err := familiesOf(strings.NewReader(someMetrics))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sumOf(families, Gauge{Name: name, Older: "trellis_plane_info", Always: true}); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
	}
}

func readFrom(t *testing.T, server string, always bool) (float64, error) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return NewMetricsReader(n).Read(ctx, host, Gauge{Name: "trellis_plane_connections", Always: always})
}

func TestReadBy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, someMetrics) }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewLabelledReader(port).ReadBy(t.Context(), u.Hostname(), "protocol", "trellis_plane_connections", "trellis_plane_info", "nothing")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]float64{"trellis_plane_connections": {"SSE": 7, "WebSocket": 35}, "trellis_plane_info": {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gauges (-want +got):\n%s", diff)
	}
}
