package account

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Codes of the answers of a store.
const (
	s3NoSuchAccount  = "InvalidAccessKeyId"
	s3WrongSecret    = "SignatureDoesNotMatch"
	s3AccountExists  = "XAdminUserExists"
	s3BucketExists   = "BucketAlreadyExists"
	s3BucketIsOurs   = "BucketAlreadyOwnedByYou"
	s3InvalidBucket  = "InvalidBucketName"
	s3AccountIsUser  = "user"
	s3ObjectLock     = "X-Amz-Bucket-Object-Lock-Enabled"
	s3OwnerOfABucket = "X-Vgw-Owner"
)

// s3Names are what accounts and buckets may be called: a bucket by the rules of S3, without dots.
var s3Names = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// S3Connection reads a consumer's Secret, mounted at dir: its own account and bucket or, of an engine that others
// run, their credentials, and no bucket.
func S3Connection(dir string) (planeconfig.S3, error) {
	data := map[string][]byte{}
	for _, key := range planeconfig.S3Keys() {
		content, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return planeconfig.S3{}, fmt.Errorf("read the Secret of the engine: %w", err)
		}
		data[key] = content
	}
	return planeconfig.ParseS3(data)
}

// s3Account makes an account that may use its own buckets and make none, and the bucket that is its own. The
// account's secret is set where the store has another.
func s3Account(ctx context.Context, log *slog.Logger, admin, account files) error {
	if err := account.need(planeconfig.KeyAccessKeyID, planeconfig.KeySecretAccessKey); err != nil {
		return err
	}
	root, err := planeconfig.ParseS3(admin.data())
	if err != nil {
		return fmt.Errorf("the engine's binding can not be used: %w", err)
	}
	name, bucket := account[planeconfig.KeyAccessKeyID], account[planeconfig.KeyBucket]
	if !s3Names.MatchString(name) || name == root.AccessKeyID || (bucket != "" && !s3Names.MatchString(bucket)) {
		return permanent{fmt.Errorf("%q and %q can not be the names of an account and of a bucket", name, bucket)}
	}
	transport, err := root.Transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	store := s3Admin{root: root, http: &http.Client{Transport: transport}}
	if err := store.ensureAccount(ctx, name, account[planeconfig.KeySecretAccessKey]); err != nil {
		return fmt.Errorf("make the account %s: %w", name, err)
	}
	if bucket != "" {
		if err := store.ensureBucket(ctx, name, bucket, account); err != nil {
			return err
		}
	}
	log.Info("the account is there", "account", name, "bucket", bucket)
	return nil
}

// ensureAccount changes nothing where the account is let in.
func (s s3Admin) ensureAccount(ctx context.Context, name, secret string) error {
	consumer := s.root
	consumer.AccessKeyID, consumer.SecretAccessKey = name, secret
	err := s.lets(ctx, consumer)
	switch codeOf(err) {
	case s3NoSuchAccount:
		err = s.call(ctx, "/create-user", nil, nil, s3NewAccount{Access: name, Secret: secret, Role: s3AccountIsUser}, nil)
		if codeOf(err) != s3AccountExists {
			return err
		}
		// Another pod made it meanwhile.
		return s.ensureSecret(ctx, name, secret)
	case s3WrongSecret:
		return s.ensureSecret(ctx, name, secret)
	default:
		return err
	}
}

func (s s3Admin) ensureSecret(ctx context.Context, name, secret string) error {
	return s.call(ctx, "/update-user", url.Values{"access": {name}}, nil, s3ChangedAccount{Secret: secret, Role: s3AccountIsUser}, nil)
}

// ensureBucket makes a bucket that belongs to the account from its beginning. One of another consumer is never
// touched, and one that is nobody's only where the account's Secret says so.
func (s s3Admin) ensureBucket(ctx context.Context, name, bucket string, account files) error {
	owner, exists, err := s.ownerOf(ctx, bucket)
	if err != nil {
		return fmt.Errorf("look for the bucket %s: %w", bucket, err)
	}
	switch {
	case exists && owner == name:
		return nil
	case exists && owner != s.root.AccessKeyID && owner != "":
		return permanent{fmt.Errorf("the bucket %s belongs to another consumer of the engine: choose another name", bucket)}
	case exists && owner == "" && account[planeconfig.KeyAdopt] != "true":
		// The store makes a bucket first, and writes down whose it is then.
		return fmt.Errorf("the bucket %s exists and belongs to nobody yet: should that stay so, choose another name, or ask for its adoption", bucket)
	case exists && account[planeconfig.KeyAdopt] != "true":
		return permanent{fmt.Errorf("the bucket %s exists already: choose another name, or ask for its adoption", bucket)}
	case exists:
		if err := s.call(ctx, "/change-bucket-owner", url.Values{"bucket": {bucket}, "owner": {name}}, nil, nil, nil); err != nil {
			return fmt.Errorf("take over the bucket %s: %w", bucket, err)
		}
		return nil
	default:
		return s.makeBucket(ctx, name, bucket, account)
	}
}

func (s s3Admin) makeBucket(ctx context.Context, name, bucket string, account files) error {
	header := http.Header{s3OwnerOfABucket: {name}}
	if account[planeconfig.KeyObjectLock] == "true" {
		header.Set(s3ObjectLock, "true")
	}
	err := s.call(ctx, "/"+bucket+"/create", nil, header, nil, nil)
	switch codeOf(err) {
	case s3BucketExists, s3BucketIsOurs:
		// Made by another pod meanwhile: the next attempt looks whose it is.
		return fmt.Errorf("make the bucket %s: somebody else was faster: %w", bucket, err)
	case s3InvalidBucket:
		return permanent{fmt.Errorf("the store refuses %s as the name of a bucket", bucket)}
	}
	if err != nil {
		return fmt.Errorf("make the bucket %s: %w", bucket, err)
	}
	return nil
}

func (s s3Admin) ownerOf(ctx context.Context, bucket string) (owner string, exists bool, err error) {
	var all struct {
		Buckets []struct {
			Name  string
			Owner string
		}
	}
	if err := s.call(ctx, "/list-buckets", nil, nil, nil, &all); err != nil {
		return "", false, err
	}
	for _, b := range all.Buckets {
		if b.Name == bucket {
			return b.Owner, true, nil
		}
	}
	return "", false, nil
}

// What the store is told of an account.
type (
	s3NewAccount struct {
		XMLName xml.Name `xml:"Account"`
		Access  string
		Secret  string
		Role    string
	}
	s3ChangedAccount struct {
		XMLName xml.Name `xml:"MutableProps"`
		Secret  string
		Role    string
	}
)
