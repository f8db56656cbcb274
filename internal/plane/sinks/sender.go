package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// sender sends events to one address, as CloudEvents in binary mode.
type sender struct {
	url, token, ca string
	source         string
	// roots are the certificates that client checks the receiver's against.
	roots  []byte
	client *http.Client
}

func newSender(cfg planeconfig.Sink, source string) (*sender, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		// Without the URL: there may be a secret in it.
		return nil, errors.New("the sink's url must be http:// or https:// with a host, and without a user")
	}
	s := &sender{url: cfg.URL, token: cfg.TokenFile, ca: cfg.CAFile, source: source}
	return s, s.refresh()
}

// refresh takes up certificates that have changed.
func (s *sender) refresh() error {
	if s.ca == "" {
		if s.client == nil {
			s.use(nil)
		}
		return nil
	}
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return fmt.Errorf("read the certificates of the sink: %w", err)
	}
	if s.client != nil && bytes.Equal(pem, s.roots) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("there are no certificates in %s", s.ca)
	}
	s.roots = pem
	s.use(pool)
	return nil
}

// use certificates, nil for the system's.
func (s *sender) use(roots *x509.CertPool) {
	if s.client != nil {
		s.close()
	}
	s.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: senders, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: answer,
			ResponseHeaderTimeout: answer, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		Timeout: answer,
		// A token is for the address that was configured, and for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// outcome is what became of one attempt.
type outcome struct {
	taken, refused bool
	status         int
	// after is how long the receiver asks to wait.
	after time.Duration
	err   error
}

func (s *sender) send(ctx context.Context, l *letter) outcome {
	req, err := s.request(ctx, l)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return outcome{err: withoutURL(err)}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	return judge(resp)
}

// withoutURL is what an error of the client says besides the URL, in which there may be a secret.
func withoutURL(err error) error {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// judge tells what is taken from what may be later, and from what never will be: a client error that is not about who
// sends, or where to, or when.
func judge(resp *http.Response) outcome {
	out := outcome{status: resp.StatusCode}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		out.taken = true
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
	case code >= 400 && code < 500, code == http.StatusLoopDetected:
		out.refused = true
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		out.after = min(time.Duration(min(seconds, 1<<20))*time.Second, longestWait)
	}
	return out
}

func (s *sender) request(ctx context.Context, l *letter) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(l.data))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", withoutURL(err))
	}
	for name, value := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": l.ID, "Ce-Source": s.source, "Ce-Type": l.Type, "Ce-Time": l.Time.UTC().Format(time.RFC3339Nano),
		"Ce-Subject": l.subject, "Ce-Traceparent": l.TraceParent, "Traceparent": l.TraceParent, "Content-Type": "application/json",
		"Ce-" + AttributeHops: strconv.Itoa(l.Hops + 1),
	} {
		if value != "" {
			req.Header.Set(name, headerText(value))
		}
	}
	if s.token != "" {
		// Read each time, as it may be rotated.
		token, err := os.ReadFile(s.token)
		if err != nil {
			return nil, fmt.Errorf("read the token of the sink: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return req, nil
}

// headerText percent-encodes what can not stand in a header (section 3.1.3.2 of the HTTP binding of CloudEvents).
func headerText(value string) string {
	var out strings.Builder
	for i := range len(value) {
		if c := value[i]; c < 0x21 || c > 0x7e || c == '"' || c == '%' {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(value[i])
	}
	return out.String()
}
