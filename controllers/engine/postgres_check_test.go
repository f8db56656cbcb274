package engine

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestPostgresBinding(t *testing.T) {
	ca := certificate(t)
	const (
		notPostgres = "the Secret can not be used: the URI must be " + planeconfig.PostgresForm + ", with special characters of the password percent-encoded"
		unchecked   = "the Secret can not be used: there is a ca.crt and the URI has no certificate checked: add sslmode=verify-full, or remove ca.crt"
	)
	keys := func(host, port, uri, user, pass, database string) map[string]string {
		return map[string]string{"host": host, "port": port, "uri": uri, "username": user, "password": pass, "database": database}
	}
	plain := "postgres://app:" + password + "@h:6432/jobs?sslmode=disable"
	tests := []struct {
		name, uri, ca string
		want          map[string]string
		wrong         string
	}{
		{"all of it", plain, "", keys("h", "6432", plain, "app", password, "jobs"), ""},
		{"the other scheme, with white space", " postgresql://app@h/jobs\n", "", keys("h", "5432", "postgresql://app@h/jobs", "app", "", "jobs"), ""},
		{"an encoded password", "postgres://app:a%23b%40c@h/jobs", "", keys("h", "5432", "postgres://app:a%23b%40c@h/jobs", "app", "a#b@c", "jobs"), ""},
		{"TLS by an authority of its own", "postgres://app@h/jobs?sslmode=verify-full", ca, map[string]string{
			"host": "h", "port": "5432", "uri": "postgres://app@h/jobs?sslmode=verify-full", "username": "app", "password": "", "database": "jobs", "ca.crt": ca}, ""},
		{"no URI", " \n", "", nil, "the Secret has no key uri: set it to " + planeconfig.PostgresForm},
		{"another scheme", "http://app:" + password + "@h/jobs", "", nil, notPostgres},
		{"no scheme", "host=h user=app password=" + password, "", nil, notPostgres},
		{"no user", "postgres://h/jobs", "", nil, notPostgres},
		{"no database", "postgres://app:" + password + "@h", "", nil, notPostgres},
		{"a slash in the password", "postgres://app:s3cret/Pa55@h/jobs", "", nil, notPostgres},
		{"a slash behind digits", "postgres://app:4711/Pa55@h/jobs", "", nil, notPostgres},
		{"a # behind digits", "postgres://app:4711#Pa55@h/jobs", "", nil, notPostgres},
		{"a ? behind digits", "postgres://app:4711?Pa55@h/jobs", "", nil, notPostgres},
		{"a % in the password", "postgres://app:s3cret%Pa55@h/jobs", "", nil, notPostgres},
		{"a port that is none", "postgres://app:" + password + "@h:port/jobs", "", nil, notPostgres},
		{"a socket", "postgres://app:" + password + "@%2Frun%2Fpostgres/jobs", "", nil, notPostgres},
		{"a file", "postgres://app@h/jobs?sslrootcert=/etc/passwd", "", nil,
			"the Secret can not be used: the URI names a file by sslrootcert, and files are not read: remove it; an authority's certificate goes into ca.crt"},
		{"an authority that is none", "postgres://app@h/jobs?sslmode=verify-full", "PEM", nil, "the Secret can not be used: ca.crt holds no PEM certificate"},
		{"an authority without TLS", plain, ca, nil, unchecked},
		{"an authority that is not asked", "postgres://app@h/jobs?sslmode=prefer", ca, nil, unchecked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := postgresDriver{}.Binding(map[string][]byte{"uri": []byte(tt.uri), "ca.crt": []byte(tt.ca)})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("binding (-want +got):\n%s", diff)
			}
			wrong := ""
			if err != nil {
				wrong = err.Error()
			}
			if wrong != tt.wrong {
				t.Errorf("error is %q, want %q", wrong, tt.wrong)
			}
			noLeak(t, wrong)
		})
	}
}

func TestPostgresCheck(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	where, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	at := where.Host
	with := func(user, pass, database string) string {
		return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, pass, at, database)
	}
	for name, c := range map[string]struct{ uri, wrong string }{
		"it answers":       {uri, ""},
		"a wrong password": {with("postgres", password, "postgres"), "the engine at " + at + " refused the credentials: correct the user and password in the Secret's key uri"},
		"no such database": {with("postgres", enginetest.PostgresPassword, "none"), "the engine at " + at + ` has no database "none": create it, or name another in the Secret's key uri`},
		"no TLS":           {strings.Replace(uri, "disable", "verify-full", 1), "the engine at " + at + " speaks no TLS: set sslmode=disable in the Secret's key uri, or have the server speak it"},
	} {
		t.Run(name, func(t *testing.T) {
			version, err := postgresDriver{}.Check(t.Context(), map[string][]byte{"uri": []byte(c.uri)})
			wrong := ""
			if err != nil {
				wrong = err.Error()
			}
			if wrong != c.wrong {
				t.Errorf("error is %q, want %q", wrong, c.wrong)
			}
			if (version == "") != (c.wrong != "") || strings.ContainsAny(version, " ()") {
				t.Errorf("version is %q", version)
			}
			noLeak(t, wrong)
		})
	}
}

func TestExplainPostgres(t *testing.T) {
	config, err := pgx.ParseConfig("postgres://app:" + password + "@h:5432/jobs?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"an unknown authority": {fmt.Errorf("dial: %w", x509.UnknownAuthorityError{}), "the certificate of h:5432 is not trusted: put its authority into the Secret's key ca.crt"},
		"no answer":            {fmt.Errorf("read: %w", context.DeadlineExceeded), "no answer from h:5432 in time: check the address and that the network admits the operator"},
		"no connection":        {os.ErrDeadlineExceeded, "no answer from h:5432 in time: check the address and that the network admits the operator"},
		"full":                 {&pgconn.PgError{Code: "53300"}, "the engine at h:5432 has no connection left: raise its max_connections, or the user's limit"},
		"not let in":           {&pgconn.PgError{Code: "28000"}, "the engine at h:5432 does not admit the user from here: correct the user in the Secret's key uri, or the server's pg_hba.conf"},
		"no right":             {&pgconn.PgError{Code: "42501"}, `the engine at h:5432 does not let the user into database "jobs": grant it CONNECT`},
		"starting":             {&pgconn.PgError{Code: "57P03"}, "the engine at h:5432 is starting or stopping"},
		"something else":       {&pgconn.PgError{Code: "XX000", Message: password}, "can not use the engine at h:5432: it answers with the code XX000"},
		"other words":          {errors.New("no " + password), "can not use the engine at h:5432: no …"},
	} {
		t.Run(name, func(t *testing.T) {
			got := explainPostgres(config, c.err).Error()
			if got != c.want {
				t.Errorf("says %q, want %q", got, c.want)
			}
			noLeak(t, got)
		})
	}
}
