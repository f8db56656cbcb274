package planeconfig

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Keys of a Secret that says how a store of type S3 is used: of an engine that others run, of an Engine's binding,
// and of a consumer's account, where KeyBucket is the bucket that it owns. The endpoint is in uri, an authority's
// certificates in KeyAuthority.
const (
	KeyAccessKeyID     = "accessKeyID"
	KeySecretAccessKey = "secretAccessKey"
	KeyRegion          = "region"
	KeyPathStyle       = "pathStyle"
	KeyBucket          = "bucket"
	// KeyPublicURI is the endpoint as clients outside the cluster reach it; uri by default.
	KeyPublicURI = "publicUri"
	// KeyObjectLock is "true" where the bucket is to be made with it, which can not be changed later.
	KeyObjectLock = "objectLock"
	// KeyAdopt is "true" where a bucket of that name that belongs to no other consumer is taken over.
	KeyAdopt = "adopt"
)

// Folders of the volume of a store that Trellis runs, which the plane's subcommand s3-folders makes.
const (
	S3ObjectsFolder = "objects"
	// S3VersionsFolder has what is no longer the newest version of an object.
	S3VersionsFolder = "versions"
	S3MetadataFolder = "metadata"
	S3AccountsFolder = "accounts"
)

const (
	// S3Form is what an endpoint looks like, for messages.
	S3Form = "https://s3.eu-central-1.amazonaws.com or http://minio.example:9000"
	// S3Region is that of a Secret that names none.
	S3Region = "us-east-1"
)

var (
	errNoCAs    = errors.New("the Secret's key ca.crt holds no PEM certificate")
	errCAByHTTP = errors.New("there is a ca.crt and the uri begins with http://: begin it with https://, or remove ca.crt")
)

// S3 is how a store is used. It holds secrets, and is not to be logged.
type S3 struct {
	Endpoint *url.URL
	// PublicEndpoint is where clients outside the cluster reach the same store; nil where that is Endpoint.
	PublicEndpoint               *url.URL
	Region                       string
	AccessKeyID, SecretAccessKey string
	// PathStyle has https://host/bucket/key instead of https://bucket.host/key.
	PathStyle bool
	// Authority has PEM certificates that the endpoint's is checked against instead of the system's; empty for those.
	Authority []byte
	// Bucket of a consumer, empty in an engine's own binding.
	Bucket string
}

// S3Keys are all that ParseS3 reads, for who reads files.
func S3Keys() []string {
	return []string{"uri", KeyAccessKeyID, KeySecretAccessKey, KeyRegion, KeyPathStyle, KeyAuthority, KeyBucket, KeyPublicURI}
}

// ParseS3 reads a Secret. Errors say what to change, without its values.
func ParseS3(data map[string][]byte) (S3, error) {
	text := func(key string) string { return strings.TrimSpace(string(data[key])) }
	out := S3{
		Region: text(KeyRegion), AccessKeyID: text(KeyAccessKeyID), SecretAccessKey: text(KeySecretAccessKey),
		Authority: data[KeyAuthority], Bucket: text(KeyBucket),
	}
	if text("uri") == "" {
		return out, errors.New("the Secret has no key uri: set it to the endpoint of the store, e.g. " + S3Form)
	}
	var err error
	if out.Endpoint, err = s3Endpoint("uri", text("uri")); err != nil {
		return out, err
	}
	if public := text(KeyPublicURI); public != "" {
		if out.PublicEndpoint, err = s3Endpoint(KeyPublicURI, public); err != nil {
			return out, err
		}
	}
	for _, key := range []string{KeyAccessKeyID, KeySecretAccessKey} {
		if text(key) == "" {
			return out, fmt.Errorf("the Secret has no key %s: put the credentials of the store into %s and %s", key, KeyAccessKeyID, KeySecretAccessKey)
		}
	}
	if out.Region == "" {
		out.Region = S3Region
	}
	out.PathStyle = !amazon(out.Endpoint.Hostname())
	if style := text(KeyPathStyle); style != "" {
		if out.PathStyle, err = strconv.ParseBool(style); err != nil {
			return out, errors.New(`the Secret's key pathStyle must be "true" or "false"`)
		}
	}
	_, err = out.trust()
	return out, err
}

// s3Endpoint reads one of a Secret's keys.
func s3Endpoint(key, text string) (*url.URL, error) {
	endpoint, err := url.Parse(text)
	if err != nil || (endpoint.Scheme != "https" && endpoint.Scheme != "http") || endpoint.Hostname() == "" ||
		strings.Trim(endpoint.Path, "/") != "" || endpoint.User != nil || strings.ContainsAny(text, "?#") {
		return nil, fmt.Errorf("the Secret's key %s is not the endpoint of a store: use %s, without a bucket and without credentials", key, S3Form)
	}
	return &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host}, nil
}

// amazon no longer serves all buckets by path; other stores seldom have a name for each bucket.
func amazon(host string) bool {
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// trust is nil where the system's authorities are asked.
func (s S3) trust() (*tls.Config, error) {
	if len(s.Authority) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.Authority) {
		return nil, errNoCAs
	}
	if s.Endpoint.Scheme != "https" {
		return nil, errCAByHTTP
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// Address of the store, as host:port, for messages.
func (s S3) Address() string {
	return net.JoinHostPort(s.Endpoint.Hostname(), s.Port())
}

// Port of the endpoint, that of its scheme where it names none.
func (s S3) Port() string {
	switch port := s.Endpoint.Port(); {
	case port != "":
		return port
	case s.Endpoint.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// Transport that trusts the store's certificate. It is its user's to close the idle connections of.
func (s S3) Transport() (*http.Transport, error) {
	const connect, answer, idle = 10 * time.Second, time.Minute, time.Minute
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 3 * connect}).DialContext, TLSHandshakeTimeout: connect,
		ExpectContinueTimeout: connect, ResponseHeaderTimeout: answer, MaxIdleConns: 256, MaxIdleConnsPerHost: 16, IdleConnTimeout: idle,
		// An object is what its bytes are, whatever encoding they are said to have.
		DisableCompression: true,
	}
	trust, err := s.trust()
	if trust == nil && s.Endpoint.Scheme == "https" {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig = trust
	return t, err
}

// Sign a request for the store as of now; content is its body.
func (s S3) Sign(r *http.Request, content []byte) error {
	hash := sha256.Sum256(content)
	sum := hex.EncodeToString(hash[:])
	r.Header.Set("X-Amz-Content-Sha256", sum)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	return signer.SignHTTP(r.Context(), keys, r, sum, "s3", s.Region, time.Now())
}
