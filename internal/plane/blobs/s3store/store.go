package s3store

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/trellis-dev/trellis/internal/plane/blobs"
)

const (
	// attempts of a call that fails for a fault of the store or of the way to it.
	attempts = 3
	// MaxCopy is the most bytes that a store copies by one call.
	MaxCopy = 5 << 30
	// partOfCopy is how many bytes of a larger object are copied by one call.
	partOfCopy = 1 << 30
)

// Config says which bucket, and how it is reached.
type Config struct {
	// Endpoint is the store's URL as the plane reaches it, and PublicEndpoint as clients do; Endpoint by default.
	Endpoint, PublicEndpoint string
	Region, Bucket           string
	// PathStyle has the bucket be the first part of the path, instead of the host's first label.
	PathStyle bool
	// Conditional is true for a store that refuses to write over an object where If-None-Match: * asks for it.
	Conditional bool
	// Credentials are asked for each request, so that they may be rotated.
	Credentials aws.CredentialsProvider
	// Client reaches the store; http.DefaultClient by default. Its calls are bounded by their contexts.
	Client *http.Client
	// MaxCopy is the most bytes that are copied by one call; 5 GiB by default.
	MaxCopy int64
}

// Store is one bucket.
type Store struct {
	config Config
	client *s3.Client
	signer *v4.Signer
	post   *s3.PresignClient
	// public is where clients find the bucket, without the key.
	public *url.URL
	// onlySingly is true of a store that was found to have no call that removes many objects.
	onlySingly atomic.Bool
}

var _ blobs.Objects = (*Store)(nil)

// New returns a bucket. Nothing is asked of the store. An error says what to change of the configuration.
func New(c Config) (*Store, error) {
	if c.PublicEndpoint == "" {
		c.PublicEndpoint = c.Endpoint
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.MaxCopy <= 0 {
		c.MaxCopy = MaxCopy
	}
	if c.Region == "" || c.Bucket == "" || c.Credentials == nil {
		return nil, errors.New("the store's region, bucket and credentials must be set")
	}
	if _, err := parse(c.Endpoint); err != nil {
		return nil, err
	}
	public, err := parse(c.PublicEndpoint)
	if err != nil {
		return nil, err
	}
	if c.PathStyle {
		public.Path = strings.TrimSuffix(public.Path, "/") + "/" + c.Bucket
	} else {
		public.Host = c.Bucket + "." + public.Host
	}
	out := &Store{
		config: c, public: public,
		client: s3.New(c.options(c.Endpoint)),
		// A header that moves into the query is none that the store compares.
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableHeaderHoisting, o.DisableURIPathEscaping = true, true }),
		post:   s3.NewPresignClient(s3.New(c.options(c.PublicEndpoint))),
	}
	return out, nil
}

// Origin (scheme://host[:port]) of the requests that are signed here.
func (s *Store) Origin() string { return s.public.Scheme + "://" + s.public.Host }

func (c Config) options(endpoint string) s3.Options {
	return s3.Options{
		BaseEndpoint: aws.String(endpoint), Region: c.Region, UsePathStyle: c.PathStyle, Credentials: c.Credentials, HTTPClient: c.Client,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, 2*time.Second }),
		// Stores other than AWS's do not know the newer defaults.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
}

func parse(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the store's endpoint %q must be http:// or https:// with a host, and nothing behind its path", endpoint)
	}
	return u, nil
}
