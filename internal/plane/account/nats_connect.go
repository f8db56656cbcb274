package account

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// natsTimeout bounds one attempt to reach one server.
const natsTimeout = 5 * time.Second

// NATSConnection reads a consumer's Secret, mounted at dir: where the servers are, and the options that let
// a client in, as a user of the consumer's own account or, of an engine that others run, by their credentials.
func NATSConnection(dir string) (servers string, options []nats.Option, err error) {
	uri, err := os.ReadFile(filepath.Join(dir, keyURI))
	if err != nil {
		return "", nil, fmt.Errorf("read the Secret of the engine: %w", err)
	}
	options = []nats.Option{nats.Timeout(natsTimeout)}
	seed, err := readOptional(dir, planeconfig.KeySeed)
	if err != nil {
		return "", nil, fmt.Errorf("read the Secret of the engine: %w", err)
	}
	if seed != "" {
		token, sign, err := NATSCredentials(seed)
		if err != nil {
			return "", nil, err
		}
		options = append(options, as(token, sign))
	}
	external, err := externalOptions(dir)
	return strings.TrimSpace(string(uri)), append(options, external...), err
}

func as(token string, sign func([]byte) ([]byte, error)) nats.Option {
	return nats.UserJWT(func() (string, error) { return token, nil }, sign)
}

// externalOptions are those of an engine that others run. A client reads the credentials again each time that
// it connects, so that new ones are taken up.
func externalOptions(dir string) ([]nats.Option, error) {
	var options []nats.Option
	credentials := filepath.Join(dir, planeconfig.KeyCredentials)
	if text, err := readOptional(dir, planeconfig.KeyCredentials); err != nil {
		return nil, fmt.Errorf("read the Secret of the engine: %w", err)
	} else if text != "" {
		options = append(options, nats.UserCredentials(credentials))
	}
	ca, err := readOptional(dir, planeconfig.KeyAuthority)
	if err != nil || ca == "" {
		return options, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("the Secret's key ca.crt holds no PEM certificate")
	}
	return append(options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})), nil
}

// systemConnection is one of the system account, by the engine's Secret.
func systemConnection(adminDir string) (*nats.Conn, error) {
	uri, err := os.ReadFile(filepath.Join(adminDir, keyURI))
	if err != nil {
		return nil, fmt.Errorf("read the Secret of the engine: %w", err)
	}
	system, err := readKey(adminDir, planeconfig.KeySystemSeed, nkeys.PrefixByteAccount)
	if err != nil {
		return nil, err
	}
	token, sign, err := userOf(system, "accounts")
	if err != nil {
		return nil, err
	}
	return nats.Connect(strings.TrimSpace(string(uri)), nats.Timeout(natsTimeout), nats.NoReconnect(), as(token, sign))
}
