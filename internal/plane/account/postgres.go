package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// postgresLock is held while an account is made, so that pods which start together do not trip over one another.
	postgresLock = 0x7472656c6c6973
	// Codes of PostgreSQL's documentation, appendix A.
	wrongPassword = "28P01"
)

// postgresNames are what roles and databases may be called. They are quoted besides.
var postgresNames = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._-]{0,62}$`)

// ourOwn are roles that are no consumer's.
var ourOwn = map[string]bool{"postgres": true, "replicator": true}

// postgresAccount makes a role and a database that is its own, with nobody else let in. The password is set each
// time, as there is no telling what it is; but one that was just rotated is left to the pods that run, of which some
// may know only the one before.
func postgresAccount(ctx context.Context, log *slog.Logger, admin, account files) error {
	if err := account.need("username", "password", "database"); err != nil {
		return err
	}
	role, database := account["username"], account["database"]
	if !postgresNames.MatchString(role) || !postgresNames.MatchString(database) || ourOwn[role] || ourOwn[database] {
		return permanent{fmt.Errorf("%q and %q can not be the names of a role and of a database", role, database)}
	}
	c, err := connectPostgres(ctx, admin)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(postgresLock)); err != nil {
		return fmt.Errorf("wait for other pods: %w", told(err))
	}
	password := account["password"]
	if takesPrevious(ctx, admin, account) {
		log.Info("the password before the rotation is in use: the pods that run end it")
		password = ""
	}
	if err := ensureRole(ctx, c, role, password); err != nil {
		return err
	}
	if err := ensureDatabase(ctx, c, role, database); err != nil {
		return err
	}
	log.Info("the account is there", "role", role, "database", database)
	return tellOthers(ctx, c, log, role, database)
}

// connectPostgres by the engine's own password or, until the engine has taken that up, the one before.
func connectPostgres(ctx context.Context, admin files) (*pgx.Conn, error) {
	config, err := planeconfig.ParsePostgres(admin["uri"], []byte(admin["ca.crt"]))
	if err != nil {
		return nil, fmt.Errorf("the engine's binding can not be used: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	c, err := pgx.ConnectConfig(ctx, config)
	var answer *pgconn.PgError
	if previous := admin[planeconfig.KeyPreviousPassword]; previous != "" && errors.As(err, &answer) && answer.Code == wrongPassword {
		config.Password = previous
		c, err = pgx.ConnectConfig(ctx, config)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, told(err))
	}
	return c, nil
}

// takesPrevious is true where the account is let in by the password before its last rotation.
func takesPrevious(ctx context.Context, admin, account files) bool {
	previous := account[planeconfig.KeyPreviousPassword]
	if previous == "" || previous == account["password"] {
		return false
	}
	config, err := planeconfig.ParsePostgres(admin["uri"], []byte(admin["ca.crt"]))
	if err != nil {
		return false
	}
	config.User, config.Password, config.Database = account["username"], previous, account["database"]
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	_ = c.Close(ctx)
	return true
}

// ensureRole leaves a quarter of the server's connections to others. An empty password is left as it is.
func ensureRole(ctx context.Context, c *pgx.Conn, role, password string) error {
	var exists bool
	var limit int
	if err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), greatest(current_setting('max_connections')::int * 3 / 4, 5)", role).
		Scan(&exists, &limit); err != nil {
		return fmt.Errorf("look for the role: %w", told(err))
	}
	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}
	sql := fmt.Sprintf("%s ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT %d",
		verb, quoted(role), limit)
	if password != "" {
		salt := make([]byte, 16)
		if _, err := rand.Read(salt); err != nil {
			return fmt.Errorf("salt the password: %w", err)
		}
		verifier, err := planeconfig.PostgresVerifier(password, salt)
		if err != nil {
			return err
		}
		sql += " PASSWORD " + literal(verifier)
	}
	if _, err := c.Exec(ctx, sql); err != nil {
		return fmt.Errorf("make the role: %w", told(err))
	}
	return nil
}

func ensureDatabase(ctx context.Context, c *pgx.Conn, role, database string) error {
	var exists bool
	if err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", told(err))
	}
	var statements []string
	if !exists {
		statements = append(statements, fmt.Sprintf("CREATE DATABASE %s OWNER %s", quoted(database), quoted(role)))
	}
	statements = append(statements,
		fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", quoted(database), quoted(role)),
		fmt.Sprintf("REVOKE CONNECT, TEMPORARY ON DATABASE %s FROM PUBLIC", quoted(database)))
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the database: %w", told(err))
		}
	}
	return nil
}

// tellOthers names what a consumer of the same name left behind. It may hold what somebody wants back.
func tellOthers(ctx context.Context, c *pgx.Conn, log *slog.Logger, role, database string) error {
	rows, err := c.Query(ctx, "SELECT d.datname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE r.rolname = $1 AND d.datname <> $2 ORDER BY 1", role, database)
	if err != nil {
		return fmt.Errorf("look for other databases: %w", told(err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for other databases: %w", told(err))
	}
	if len(names) > 0 {
		log.Warn("databases of an earlier consumer of this name are kept: drop them when nobody wants them back", "databases", names)
	}
	return nil
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal of a text, whatever is in it.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// told is an error without what a statement holds.
func told(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return fmt.Errorf("%s (%s)", answer.Message, answer.Code)
	}
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		return connecting.Unwrap()
	}
	return err
}
