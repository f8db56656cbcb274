package planeconfig

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresConnect bounds one attempt where the URI has no connect_timeout.
const postgresConnect = 10 * time.Second

// PostgresForm is what a connection URI looks like, for messages.
const PostgresForm = "postgres://user:password@host:5432/database?sslmode=verify-full"

// errPostgresURI holds nothing of the URI, and so no password.
var errPostgresURI = errors.New("the URI must be " + PostgresForm + ", with special characters of the password percent-encoded")

// ParsePostgres reads a connection URI and, where it is not empty, the PEM certificates that the server's is checked
// against instead of the system's. Nothing is taken from files. Errors say what to change and never hold the URI,
// which holds the password.
func ParsePostgres(uri string, ca []byte) (*pgx.ConnConfig, error) {
	uri = strings.TrimSpace(uri)
	if err := checkPostgres(uri); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(uri)
	switch {
	case err != nil, config.User == "", config.Database == "", strings.HasPrefix(config.Host, "/"):
		return nil, errPostgresURI
	case config.ConnectTimeout == 0:
		config.ConnectTimeout = postgresConnect
	}
	if len(ca) == 0 {
		return config, nil
	}
	return config, trust(config, ca)
}

// checkPostgres refuses what the client's parser is too kind to: it would take a part of a password that is not
// encoded for a port, a database or a parameter, and read files that parameters name.
func checkPostgres(uri string) error {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || (scheme != "postgres" && scheme != "postgresql") {
		return errPostgresURI
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 || !strings.Contains(rest[:end], "@") || strings.ContainsAny(rest[end:], "@#") {
		return errPostgresURI
	}
	_, query, _ := strings.Cut(rest[end:], "?")
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return errPostgresURI
	}
	for _, name := range []string{"passfile", "service", "servicefile", "sslcert", "sslkey", "sslrootcert", "sslcrl"} {
		if parameters.Has(name) {
			return fmt.Errorf("the URI names a file by %s, and files are not read: remove it; an authority's certificate goes into ca.crt", name)
		}
	}
	return nil
}

// trust has the server's certificate checked against PEM certificates.
func trust(config *pgx.ConnConfig, ca []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("ca.crt holds no PEM certificate")
	}
	if config.TLSConfig == nil || (config.TLSConfig.InsecureSkipVerify && config.TLSConfig.VerifyPeerCertificate == nil) {
		return errors.New("there is a ca.crt and the URI has no certificate checked: add sslmode=verify-full, or remove ca.crt")
	}
	config.TLSConfig.RootCAs = pool
	for _, f := range config.Fallbacks {
		if f.TLSConfig != nil {
			f.TLSConfig.RootCAs = pool
		}
	}
	return nil
}
