package router

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"net/textproto"
	"sync"
)

// withHints notes answers before the answer.
func withHints(ctx context.Context) (context.Context, func() string) {
	var mu sync.Mutex
	var got string
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			got += fmt.Sprint(code, " ", header.Get("Link"))
			return nil
		}}), func() string {
			mu.Lock()
			defer mu.Unlock()
			return got
		}
}
