package realtime

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// target is what a connection URI says.
type target struct {
	// address of the one server, as a URI without credentials; empty with Sentinels.
	address string
	// host of the one server, for its certificate; empty without TLS.
	tlsHost string
	// addresses of the Sentinels, and their name of the primary; empty without Sentinels.
	addresses []string
	master    string

	database int
	// servers and sentinels are the credentials to try there, one after the other.
	servers, sentinels []login
}

// login is a user and a password; both may be empty.
type login struct{ user, password string }

// readTarget reads the file that holds the engine's URI and, where there is one, the file beside it
// with the password before the last rotation: the engine may not have heard of the newer one yet.
func readTarget(path string) (target, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return target{}, fmt.Errorf("read the engine's URI: %w", err)
	}
	t, err := parseTarget(strings.TrimSpace(string(data)))
	if err != nil {
		return target{}, err
	}
	previous, err := os.ReadFile(filepath.Join(filepath.Dir(path), planeconfig.KeyPreviousPassword))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return target{}, fmt.Errorf("read the engine's password before: %w", err)
	}
	if password := strings.TrimSpace(string(previous)); password != "" {
		t.servers = append(t.servers, login{t.servers[0].user, password})
		t.sentinels = append(t.sentinels, login{t.sentinels[0].user, password})
	}
	return t, nil
}

func parseTarget(text string) (target, error) {
	if !planeconfig.IsSentinelURI(text) {
		return serverTarget(text)
	}
	s, err := planeconfig.ParseSentinelURI(text)
	if err != nil {
		return target{}, fmt.Errorf("read the engine's URI: %w", err)
	}
	return target{
		addresses: s.Addresses, master: s.Master, database: s.Database,
		servers:   []login{{s.Username, s.Password}},
		sentinels: []login{{s.SentinelUsername, s.SentinelPassword}},
	}, nil
}

func serverTarget(text string) (target, error) {
	u, err := url.Parse(text)
	// The parser's error would quote the URI, and with it the password.
	if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return target{}, errors.New("the engine's URI must be redis://[user:password@]host:port[/db], rediss://… for TLS, or " + planeconfig.SentinelForm)
	}
	password, _ := u.User.Password()
	out := target{servers: []login{{u.User.Username(), password}}, sentinels: []login{{}}}
	if number := strings.TrimPrefix(u.Path, "/"); number != "" {
		if out.database, err = strconv.Atoi(number); err != nil {
			return target{}, errors.New("the engine's URI ends in a database that is not a number: use redis://host:port/0")
		}
	}
	if u.Scheme == "rediss" {
		out.tlsHost = u.Hostname()
	}
	u.User = nil
	out.address = u.String()
	return out, nil
}

func engineTLS(t target, caFile string) (*tls.Config, error) {
	if t.tlsHost == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.tlsHost}
	if caFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(caFile)
	if errors.Is(err, os.ErrNotExist) {
		return conf, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the engine's CA: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the engine's CA file %s holds no certificate", caFile)
	}
	return conf, nil
}
