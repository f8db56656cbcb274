package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// oldestPostgres is the oldest version that is used, as the server counts them.
const oldestPostgres = 130000

// Binding implements Driver. Source keys: uri, and ca.crt where the certificate is not a public one.
func (postgresDriver) Binding(source map[string][]byte) (map[string]string, error) {
	config, err := postgresOptions(source)
	if err != nil {
		return nil, err
	}
	data := map[string]string{
		"host": config.Host, "port": fmt.Sprint(config.Port), "uri": strings.TrimSpace(string(source["uri"])),
		"username": config.User, "password": config.Password, "database": config.Database,
	}
	if ca := source["ca.crt"]; len(ca) > 0 {
		data["ca.crt"] = string(ca)
	}
	return data, nil
}

// postgresOptions parses a connection. Its errors never hold the URI, which holds the password.
func postgresOptions(binding map[string][]byte) (*pgx.ConnConfig, error) {
	uri := string(binding["uri"])
	if strings.TrimSpace(uri) == "" {
		return nil, errors.New("the Secret has no key uri: set it to " + planeconfig.PostgresForm)
	}
	config, err := planeconfig.ParsePostgres(uri, binding["ca.crt"])
	if err != nil {
		return nil, fmt.Errorf("the Secret can not be used: %w", err)
	}
	return config, nil
}

// Check implements Driver.
func (postgresDriver) Check(ctx context.Context, binding map[string][]byte) (string, error) {
	config, err := postgresOptions(binding)
	if err != nil {
		return "", err
	}
	// A pooler in front of it may know no prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", explainPostgres(config, err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	var version string
	var number int
	var replica bool
	if err := c.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery()").
		Scan(&version, &number, &replica); err != nil {
		return "", explainPostgres(config, err)
	}
	version, _, _ = strings.Cut(version, " ")
	switch {
	case number < oldestPostgres:
		return "", fmt.Errorf("the engine at %s is PostgreSQL %s: upgrade it to 13 or newer", postgresAddress(config), version)
	case replica:
		return "", fmt.Errorf("the engine at %s is a read replica: name the primary in the Secret's key uri", postgresAddress(config))
	}
	return version, nil
}

func postgresAddress(config *pgx.ConnConfig) string {
	return net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
}

// explainPostgres says what to change; other words are the client's or the server's, without secrets.
func explainPostgres(config *pgx.ConnConfig, err error) error {
	addr := postgresAddress(config)
	var answer *pgconn.PgError
	var unknownCA x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &answer):
		return explainAnswer(addr, config, answer)
	case errors.As(err, &unknownCA), errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: put its authority into the Secret's key ca.crt", addr)
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return fmt.Errorf("the engine at %s speaks no TLS: set sslmode=disable in the Secret's key uri, or have the server speak it", addr)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s in time: check the address and that the network admits the operator", addr)
	}
	text := err.Error()
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		text = connecting.Unwrap().Error()
	}
	if config.Password != "" {
		text = strings.ReplaceAll(text, config.Password, "…")
	}
	return fmt.Errorf("can not use the engine at %s: %s", addr, text)
}

// explainAnswer tells by the code (PostgreSQL's documentation, appendix A) what the server has against a connection.
func explainAnswer(addr string, config *pgx.ConnConfig, answer *pgconn.PgError) error {
	switch answer.Code {
	case "28P01":
		return fmt.Errorf("the engine at %s refused the credentials: correct the user and password in the Secret's key uri", addr)
	case "28000":
		return fmt.Errorf("the engine at %s does not admit the user from here: correct the user in the Secret's key uri, or the server's pg_hba.conf", addr)
	case "3D000":
		return fmt.Errorf("the engine at %s has no database %q: create it, or name another in the Secret's key uri", addr, config.Database)
	case "42501":
		return fmt.Errorf("the engine at %s does not let the user into database %q: grant it CONNECT", addr, config.Database)
	case "53300":
		return fmt.Errorf("the engine at %s has no connection left: raise its max_connections, or the user's limit", addr)
	case "57P03":
		return fmt.Errorf("the engine at %s is starting or stopping", addr)
	default:
		return fmt.Errorf("can not use the engine at %s: it answers with the code %s", addr, answer.Code)
	}
}
