// Package engines puts a bucket's plane on its two engines: the ledger in PostgreSQL and the store that speaks S3.
package engines

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/account"
	"github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/internal/plane/blobs/s3store"
	"github.com/trellis-dev/trellis/internal/plane/postgres"
)

// credentialsFor is how long the files of the store are not read again.
const credentialsFor = 10 * time.Second

// Open a bucket by the configuration of p. Nothing is asked of the engines before it runs. An error says what to change.
func Open(p *plane.Plane) (*blobs.Bucket, error) {
	cfg := p.Config
	if cfg.Blobs == nil {
		return nil, fmt.Errorf("the configuration of %s %s/%s has no blobs section", cfg.Kind, cfg.Namespace, cfg.Name)
	}
	if cfg.Engine.Type != "PostgreSQL" {
		return nil, fmt.Errorf("the engine is %q: the ledger of a bucket is kept in PostgreSQL", cfg.Engine.Type)
	}
	schema, err := postgres.SchemaOf(cfg.Engine, "trellis_blobs")
	if err != nil {
		return nil, err
	}
	rows, err := ledger.New(ledger.Config{Engine: cfg.Engine, Schema: schema, Log: p.Log}, blobs.LedgerSettings{})
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	objects, err := open(p)
	if err != nil {
		return nil, fmt.Errorf("the store: %w", err)
	}
	return blobs.New(p, blobs.Options{Ledger: rows, Objects: objects, Origin: objects.Origin()})
}

func open(p *plane.Plane) (*s3store.Store, error) {
	cfg := p.Config.Blobs
	s3, err := account.S3Connection(cfg.StoreDir)
	if err != nil {
		return nil, err
	}
	transport, err := s3.Transport()
	if err != nil {
		return nil, err
	}
	bucket := s3.Bucket
	if cfg.Bucket != "" {
		bucket = cfg.Bucket
	}
	// An Engine's spec says where clients reach it, and the Secret of a store that others run does.
	public := cfg.PublicEndpoint
	if public == "" && s3.PublicEndpoint != nil {
		public = s3.PublicEndpoint.String()
	}
	return s3store.New(s3store.Config{
		Endpoint:       s3.Endpoint.String(),
		PublicEndpoint: public,
		Region:         s3.Region,
		Bucket:         bucket,
		PathStyle:      s3.PathStyle,
		Conditional:    cfg.Conditional,
		Credentials:    aws.NewCredentialsCache(files(cfg.StoreDir)),
		Client:         &http.Client{Transport: transport},
	})
}

// files are the credentials of a mounted Secret, which is read again now and then.
func files(dir string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		s3, err := account.S3Connection(dir)
		if err != nil {
			return aws.Credentials{}, err
		}
		return aws.Credentials{
			AccessKeyID: s3.AccessKeyID, SecretAccessKey: s3.SecretAccessKey,
			CanExpire: true, Expires: time.Now().Add(credentialsFor),
		}, nil
	})
}
