package router

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkForward is a request there and back, with the client and the shard in the same process.
func BenchmarkForward(b *testing.B) {
	for _, c := range []struct {
		name, method, body string
	}{{"GET", http.MethodGet, ""}, {"POST", http.MethodPost, strings.Repeat("x", 200)}} {
		b.Run(c.name, func(b *testing.B) {
			cl := start(b, options{handler: func(string) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = w.Write([]byte("hello, world"))
				})
			}})
			keys := make([]string, 64)
			for i := range keys {
				keys[i] = fmt.Sprint(i)
			}
			b.ReportAllocs()
			b.SetParallelism(16)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					resp, _, err := cl.try(c.method, "/x", keys[i%len(keys)], strings.NewReader(c.body))
					if err != nil || resp.StatusCode != http.StatusOK {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
