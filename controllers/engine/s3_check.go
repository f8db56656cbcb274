package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// s3Answer bounds what is read of an answer, in bytes: only its beginning is looked at.
	s3Answer = 64 << 10
	// s3ServerName bounds the name of the server, in bytes.
	s3ServerName = 128
)

// Binding implements Driver. Source keys: uri, accessKeyID and secretAccessKey; region, pathStyle and publicUri,
// which have defaults; ca.crt where the certificate is not a public one.
func (s3Driver) Binding(source map[string][]byte) (map[string]string, error) {
	s, err := planeconfig.ParseS3(source)
	if err != nil {
		return nil, err
	}
	data := map[string]string{
		"host": s.Endpoint.Hostname(), "port": s.Port(), "uri": s.Endpoint.String(),
		planeconfig.KeyRegion:          s.Region,
		planeconfig.KeyPathStyle:       strconv.FormatBool(s.PathStyle),
		planeconfig.KeyAccessKeyID:     s.AccessKeyID,
		planeconfig.KeySecretAccessKey: s.SecretAccessKey,
	}
	if s.PublicEndpoint != nil {
		data[planeconfig.KeyPublicURI] = s.PublicEndpoint.String()
	}
	if len(s.Authority) > 0 {
		data[planeconfig.KeyAuthority] = string(s.Authority)
	}
	return data, nil
}

// s3Said is what a store answers: the list of buckets, or what it has against the request.
type s3Said struct {
	XMLName xml.Name
	Code    string
	// Region that a request was meant for, where the store tells.
	Region string
}

// Check implements Driver: a list of the buckets is asked for. One who may not see it is known to the store too,
// and may still use a bucket. S3 knows no versions: it is what the server calls itself.
func (s3Driver) Check(ctx context.Context, binding map[string][]byte) (string, error) {
	s, err := planeconfig.ParseS3(binding)
	if err != nil {
		return "", err
	}
	transport, err := s.Transport()
	if err != nil {
		return "", err
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint.String()+"/", nil)
	if err != nil {
		return "", err
	}
	if err := s.Sign(req, nil); err != nil {
		return "", fmt.Errorf("sign a request for %s: %w", s.Address(), err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", explainS3(s, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var said s3Said
	text, err := io.ReadAll(io.LimitReader(resp.Body, s3Answer))
	if err != nil {
		return "", explainS3(s, err)
	}
	// A list that is longer than what was read is no whole XML, and named by its beginning all the same.
	_ = xml.Unmarshal(text, &said)
	if err := said.explain(s, resp.StatusCode, text); err != nil {
		return "", err
	}
	server := resp.Header.Get("Server")
	return server[:min(len(server), s3ServerName)], nil
}

// explain is nil for a store that knows the credentials.
func (a s3Said) explain(s planeconfig.S3, status int, text []byte) error {
	at := s.Address()
	switch {
	case a.XMLName.Local == "ListAllMyBucketsResult" && status == http.StatusOK:
		return nil
	case strings.Contains(string(text), "HTTP request to an HTTPS server"), strings.Contains(string(text), "HTTP request was sent to HTTPS port"):
		return fmt.Errorf("the engine at %s asks for TLS: begin the Secret's key uri with https://", at)
	case a.XMLName.Local != "Error" || a.Code == "":
		return fmt.Errorf("what answers at %s, with the status %d, does not speak S3: put the endpoint of the store, without a bucket, into the Secret's key uri", at, status)
	}
	switch a.Code {
	case "AccessDenied", "AllAccessDisabled":
		return nil
	case "InvalidAccessKeyId", "Unauthorized", "InvalidToken", "ExpiredToken":
		return fmt.Errorf("the engine at %s does not know the credentials: correct the Secret's key accessKeyID", at)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("the engine at %s refused the signature: correct the Secret's key secretAccessKey", at)
	case "RequestTimeTooSkewed", "RequestExpired":
		return fmt.Errorf("the clock of the engine at %s and the one here are too far apart: set both by NTP", at)
	case "AuthorizationHeaderMalformed", "IncorrectEndpoint", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect":
		if a.Region != "" && a.Region != s.Region {
			return fmt.Errorf("the engine at %s is of the region %.64q: put that into the Secret's key region", at, a.Region)
		}
		return fmt.Errorf("the engine at %s is not of the region %q: correct the Secret's key region, and the endpoint in uri", at, s.Region)
	default:
		return fmt.Errorf("can not use the engine at %s: it answers with the code %.64q", at, a.Code)
	}
}

// explainS3 says what to change where no answer came; other words are the network's.
func explainS3(s planeconfig.S3, err error) error {
	at := s.Address()
	var unknownCA x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	var wrongName x509.HostnameError
	var noTLS tls.RecordHeaderError
	var name *net.DNSError
	var operation *net.OpError
	var network net.Error
	switch {
	case errors.As(err, &wrongName):
		return fmt.Errorf("the certificate of %s is for another name: put the one that it is for into the Secret's key uri", at)
	case errors.As(err, &unknownCA), errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: put its authority into the Secret's key ca.crt", at)
	case errors.As(err, &noTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("the engine at %s does not speak TLS: begin the Secret's key uri with http://, and remove ca.crt", at)
	case errors.As(err, &name):
		return fmt.Errorf("the name %s is not known here: correct the Secret's key uri", name.Name)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer from %s in time: check the address and that the network admits the operator", at)
	case errors.As(err, &operation):
		// Its own words would name a port of this side, another one each time.
		return fmt.Errorf("can not use the engine at %s: %s: %w", at, operation.Op, operation.Err)
	default:
		return fmt.Errorf("can not use the engine at %s: %w", at, err)
	}
}
