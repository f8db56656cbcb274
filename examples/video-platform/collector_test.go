package videoplatform

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans over OTLP/HTTP.
type collector struct {
	*httptest.Server
	t     *testing.T
	mu    sync.Mutex
	spans []span
}

// span of a request that a plane served.
type span struct{ trace, kind, path string }

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{t: t}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		c.take(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(body []byte) {
	var request collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		c.t.Errorf("what came is no spans: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		kind := attribute(resource.Resource.Attributes, "trellis.kind")
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{trace: hex.EncodeToString(s.TraceId), kind: kind, path: attribute(s.Attributes, "url.path")})
			}
		}
	}
}

func attribute(all []*commonpb.KeyValue, key string) string {
	for _, a := range all {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// count the spans of a kind's path by their traces.
func (c *collector) count(kind, path string) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for _, s := range c.spans {
		if s.kind == kind && s.path == path {
			out[s.trace]++
		}
	}
	return out
}
