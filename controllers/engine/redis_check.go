package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Binding implements Driver. Source keys: uri, and ca.crt where the certificate is not a public one.
func (redisDriver) Binding(source map[string][]byte) (map[string]string, error) {
	if planeconfig.IsSentinelURI(string(source["uri"])) {
		return externalSentinel(source)
	}
	options, err := redisOptions(source)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(options.Addr)
	if err != nil {
		return nil, errors.New("the Secret's key uri names no host and port: use redis://user:password@host:6379/0")
	}
	data := map[string]string{
		"host": host, "port": port, "uri": strings.TrimSpace(string(source["uri"])),
		"username": options.Username, "password": options.Password,
	}
	if ca := source["ca.crt"]; len(ca) > 0 {
		data["ca.crt"] = string(ca)
	}
	return data, nil
}

func externalSentinel(source map[string][]byte) (map[string]string, error) {
	s, err := sentinelOptions(source)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.Addresses[0])
	if err != nil {
		return nil, fmt.Errorf("the first Sentinel's address: %w", err)
	}
	return map[string]string{
		"host": host, "port": port, "uri": strings.TrimSpace(string(source["uri"])),
		"username": s.Username, "password": s.Password,
		"sentinel.master": s.Master, "sentinel.nodes": strings.Join(s.Addresses, ","),
	}, nil
}

func sentinelOptions(source map[string][]byte) (planeconfig.Sentinel, error) {
	s, err := planeconfig.ParseSentinelURI(string(source["uri"]))
	if err != nil {
		return planeconfig.Sentinel{}, fmt.Errorf("the Secret's key uri can not be used: %w", err)
	}
	if len(source["ca.crt"]) > 0 {
		return planeconfig.Sentinel{}, errors.New("the Secret has ca.crt but its uri does not use TLS, which is not supported with Sentinels: remove ca.crt")
	}
	return s, nil
}

// redisOptions parses a connection. Its errors never hold the URI, which holds the password.
func redisOptions(binding map[string][]byte) (*redis.Options, error) {
	uri := strings.TrimSpace(string(binding["uri"]))
	if uri == "" {
		return nil, errors.New("the Secret has no key uri: set it to redis://user:password@host:6379/0, or rediss:// for TLS")
	}
	options, err := redis.ParseURL(uri)
	// What follows a # that is not encoded would be dropped, and the rest of a password taken for a port.
	if err != nil || strings.Contains(uri, "#") {
		return nil, errors.New("the Secret's key uri is not a Redis URI: use redis://user:password@host:6379/0, or rediss:// for TLS, with special characters of the password percent-encoded")
	}
	ca := binding["ca.crt"]
	if len(ca) == 0 {
		return options, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the Secret's key ca.crt holds no PEM certificate")
	}
	if options.TLSConfig == nil {
		return nil, errors.New("the Secret has ca.crt but its uri does not use TLS: begin the uri with rediss://")
	}
	options.TLSConfig.RootCAs = pool
	return options, nil
}

// Check implements Driver.
func (redisDriver) Check(ctx context.Context, binding map[string][]byte) (string, error) {
	c, options, err := redisClient(binding)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		return "", explainRedis(options, err)
	}
	return infoField(info, "valkey_version", "redis_version"), nil
}

// redisClient leads to the server, or to the primary that the Sentinels name. It tries once.
func redisClient(binding map[string][]byte) (*redis.Client, *redis.Options, error) {
	if !planeconfig.IsSentinelURI(string(binding["uri"])) {
		options, err := redisOptions(binding)
		if err != nil {
			return nil, nil, err
		}
		options.MaxRetries = -1
		options.ContextTimeoutEnabled = true
		return redis.NewClient(options), options, nil
	}
	s, err := sentinelOptions(binding)
	if err != nil {
		return nil, nil, err
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: s.Master, SentinelAddrs: s.Addresses, SentinelUsername: s.SentinelUsername, SentinelPassword: s.SentinelPassword,
		Username: s.Username, Password: s.Password, DB: s.Database, MaxRetries: -1, ContextTimeoutEnabled: true,
	})
	return c, &redis.Options{Addr: strings.Join(s.Addresses, ","), Password: s.Password}, nil
}

// explainRedis says what to change; other words are the client's or the server's, without secrets.
func explainRedis(options *redis.Options, err error) error {
	addr := options.Addr
	var unknownCA x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch text := err.Error(); {
	case strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "ERR AUTH"):
		return fmt.Errorf("the engine at %s refused the credentials: correct the user and password in the Secret's key uri", addr)
	case strings.HasPrefix(text, "NOPERM"):
		return fmt.Errorf("the engine at %s denies the user a command that Trellis needs: give it +@all on its keys", addr)
	case errors.As(err, &unknownCA), errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: put its authority into the Secret's key ca.crt", addr)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s in time: check the address and that the network admits the operator", addr)
	default:
		return fmt.Errorf("can not use the engine at %s: %s", addr, withoutSecrets(options, text))
	}
}

// withoutSecrets cuts what a server repeats of a command, which may be the credentials.
func withoutSecrets(options *redis.Options, text string) string {
	text, _, _ = strings.Cut(text, ", with args")
	if options.Password != "" {
		text = strings.ReplaceAll(text, options.Password, "…")
	}
	return text
}

// infoField returns the first of the fields that an INFO answer has.
func infoField(info string, names ...string) string {
	for _, name := range names {
		for line := range strings.Lines(info) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
				return value
			}
		}
	}
	return ""
}
