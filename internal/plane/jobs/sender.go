package jobs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// sender sends events to one address, as CloudEvents in binary mode.
type sender struct {
	cfg    planeconfig.Sink
	source string
	client *http.Client
}

func newSender(cfg planeconfig.Sink, source string) (*sender, error) {
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the sink's url must be http:// or https:// with a host")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: sinkSenders, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: sinkAnswer,
		ResponseHeaderTimeout: sinkAnswer, MaxResponseHeaderBytes: 64 << 10,
	}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificates of the sink: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there are no certificates in %s", cfg.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &sender{cfg: cfg, source: source, client: &http.Client{
		Transport: transport, Timeout: sinkAnswer,
		// A token is for the address that was configured, and for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
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

func (s *sender) send(ctx context.Context, e Event) outcome {
	req, err := s.request(ctx, e)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return outcome{err: err}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	return judge(resp)
}

// judge tells what is taken from what may be later, and from what never will be: a client error that is not about who
// sends, or where to, or when.
func judge(resp *http.Response) outcome {
	out := outcome{status: resp.StatusCode}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		out.taken = true
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
	case code >= 400 && code < 500:
		out.refused = true
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		out.after = min(time.Duration(seconds)*time.Second, time.Hour)
	}
	return out
}

func (s *sender) request(ctx context.Context, e Event) (*http.Request, error) {
	body, err := json.Marshal(e.Job)
	if err != nil {
		return nil, fmt.Errorf("encode a job: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, value := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": e.ID, "Ce-Source": s.source, "Ce-Type": e.Type, "Ce-Time": e.Time.UTC().Format(time.RFC3339Nano),
		"Ce-Subject": subject(s.cfg.Subject, e.Job), "Ce-Traceparent": e.TraceParent, "Traceparent": e.TraceParent, "Content-Type": typeJSON,
	} {
		if value != "" {
			req.Header.Set(name, headerText(value))
		}
	}
	if s.cfg.TokenFile != "" {
		// Read each time, as it may be rotated.
		token, err := os.ReadFile(s.cfg.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the sink: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return req, nil
}

var placeholder = regexp.MustCompile(`\$\{(id|type|metadata\.[^}]+)\}`)

// subject is the template with what stands for the job's filled in; the job's id where there is none.
func subject(template string, job jobs.Job) string {
	if template == "" {
		return job.ID
	}
	return placeholder.ReplaceAllStringFunc(template, func(text string) string {
		name := text[2 : len(text)-1]
		switch key, isMetadata := strings.CutPrefix(name, metadataPrefix); {
		case isMetadata:
			return job.Metadata[key]
		case name == "id":
			return job.ID
		default:
			return job.Type
		}
	})
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
