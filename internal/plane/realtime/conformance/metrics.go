package conformance

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// connections is how many a protocol holds open, over all replicas.
func (g *Target) connections(t *testing.T, protocol string) int {
	t.Helper()
	return int(g.metric(t, "trellis_plane_connections", `protocol="`+protocol+`"`))
}

// metric sums the samples of a metric whose labels contain all of with.
func (g *Target) metric(t *testing.T, name string, with ...string) float64 {
	t.Helper()
	var sum float64
	for _, r := range g.Replicas {
		body := newClient(t, r.Admin, "").must(http.StatusOK, http.MethodGet, "/metrics", nil).body
		lines := bufio.NewScanner(bytes.NewReader(body))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			sum += sample(t, lines.Text(), name, with)
		}
	}
	return sum
}

func sample(t *testing.T, line, name string, with []string) float64 {
	t.Helper()
	rest, ok := strings.CutPrefix(line, name)
	if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
		return 0
	}
	for _, label := range with {
		if !strings.Contains(rest, label) {
			return 0
		}
	}
	v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
	if err != nil {
		t.Fatalf("metric line %q: %v", line, err)
	}
	return v
}
