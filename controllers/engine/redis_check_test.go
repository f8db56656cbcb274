package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

const password = "s3cret-Pa55"

// noLeak fails where a text holds the password, or as much of it as a URI may break off.
func noLeak(t *testing.T, text string) {
	t.Helper()
	for _, part := range []string{password, "s3cret", "Pa55", "4711"} {
		if strings.Contains(text, part) {
			t.Errorf("the password shows in %q", text)
		}
	}
}

func TestRedisBinding(t *testing.T) {
	ca := certificate(t)
	const (
		notRedis = "the Secret's key uri is not a Redis URI: use redis://user:password@host:6379/0, or rediss:// for TLS, with special characters of the password percent-encoded"
		missing  = "the Secret has no key uri: set it to redis://user:password@host:6379/0, or rediss:// for TLS"
	)
	keys := func(host, port, uri, user, pass string) map[string]string {
		return map[string]string{"host": host, "port": port, "uri": uri, "username": user, "password": pass}
	}
	tests := []struct {
		name, uri, ca string
		want          map[string]string
		wrong         string
	}{
		{"user and password", "redis://app:" + password + "@h:6380/2", "",
			keys("h", "6380", "redis://app:"+password+"@h:6380/2", "app", password), ""},
		{"password alone", "redis://:" + password + "@h", "", keys("h", "6379", "redis://:"+password+"@h", "", password), ""},
		{"neither, with white space", " redis://h:1\n", "", keys("h", "1", "redis://h:1", "", ""), ""},
		{"an encoded password", "redis://:a%23b%40c@h", "", keys("h", "6379", "redis://:a%23b%40c@h", "", "a#b@c"), ""},
		{"an IPv6 address", "rediss://[::1]:6380", "", keys("::1", "6380", "rediss://[::1]:6380", "", ""), ""},
		{"TLS by an authority of its own", "rediss://h", ca, map[string]string{
			"host": "h", "port": "6379", "uri": "rediss://h", "username": "", "password": "", "ca.crt": ca}, ""},
		{"no URI", "", "", nil, missing},
		{"white space", " \n", "", nil, missing},
		{"another scheme", "http://app:" + password + "@h", "", nil, notRedis},
		{"no scheme", "app:" + password + "@h:6379", "", nil, notRedis},
		{"a slash in the password", "redis://app:s3cret/Pa55@h:6379", "", nil, notRedis},
		{"a slash behind digits", "redis://app:4711/Pa55@h:6379", "", nil, notRedis},
		{"a # behind digits", "redis://app:4711#Pa55@h:6379", "", nil, notRedis},
		{"a ? behind digits", "redis://app:4711?Pa55@h:6379", "", nil, notRedis},
		{"a % in the password", "redis://app:s3cret%Pa55@h", "", nil, notRedis},
		{"a port that is none", "redis://:" + password + "@h:port", "", nil, notRedis},
		{"a database that is none", "redis://:" + password + "@h/first", "", nil, notRedis},
		{"a socket", "unix://app:" + password + "@/run/redis.sock", "", nil,
			"the Secret's key uri names no host and port: use redis://user:password@host:6379/0"},
		{"an authority that is none", "rediss://:" + password + "@h", "PEM", nil, "the Secret's key ca.crt holds no PEM certificate"},
		{"an authority without TLS", "redis://:" + password + "@h", ca, nil,
			"the Secret has ca.crt but its uri does not use TLS: begin the uri with rediss://"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := redisDriver{}.Binding(map[string][]byte{"uri": []byte(tt.uri), "ca.crt": []byte(tt.ca)})
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

func TestExplainRedis(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a wrong password", errors.New("WRONGPASS invalid username-password pair or user is disabled"),
			"the engine at h:6379 refused the credentials: correct the user and password in the Secret's key uri"},
		{"no password", errors.New("NOAUTH Authentication required"),
			"the engine at h:6379 refused the credentials: correct the user and password in the Secret's key uri"},
		{"a password that is not wanted", errors.New("ERR AUTH <password> called without any password configured"),
			"the engine at h:6379 refused the credentials: correct the user and password in the Secret's key uri"},
		{"a forbidden command", errors.New("NOPERM User app has no permissions to run the 'info' command"),
			"the engine at h:6379 denies the user a command that Trellis needs: give it +@all on its keys"},
		{"an unknown authority", fmt.Errorf("dial: %w", x509.UnknownAuthorityError{}),
			"the certificate of h:6379 is not trusted: put its authority into the Secret's key ca.crt"},
		{"a bad certificate", &tls.CertificateVerificationError{Err: errors.New("expired")},
			"the certificate of h:6379 is not trusted: put its authority into the Secret's key ca.crt"},
		{"no answer", fmt.Errorf("read: %w", context.DeadlineExceeded),
			"no answer from h:6379 in time: check the address and that the network admits the operator"},
		{"no connection", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded},
			"no answer from h:6379 in time: check the address and that the network admits the operator"},
		{"nobody there", errors.New("dial tcp 10.0.0.1:6379: connect: connection refused"),
			"can not use the engine at h:6379: dial tcp 10.0.0.1:6379: connect: connection refused"},
		{"a server that repeats the command", errors.New("ERR unknown command 'AUTH', with args beginning with: 'app' '" + password + "' "),
			"can not use the engine at h:6379: ERR unknown command 'AUTH'"},
		{"a proxy that repeats the password", errors.New("ERR bad token " + password + "!"),
			"can not use the engine at h:6379: ERR bad token …!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := explainRedis(&redis.Options{Addr: "h:6379", Password: password}, tt.err).Error()
			if got != tt.want {
				t.Errorf("message is %q, want %q", got, tt.want)
			}
			noLeak(t, got)
		})
	}
}

func TestInfoField(t *testing.T) {
	const valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.3\r\n"
	tests := []struct{ name, info, want string }{
		{"Valkey, which says both", valkey, "8.1.3"},
		{"Redis", "redis_version:8.0.1\r\n", "8.0.1"},
		{"neither", "os:Linux\r\n", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := infoField(tt.info, "valkey_version", "redis_version"); got != tt.want {
				t.Errorf("version is %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRedisCheck asks servers that answer each command in a way of their own.
func TestRedisCheck(t *testing.T) {
	info := "redis_version:8.0.1\r\n"
	tests := []struct {
		name   string
		answer func(command []string) string
		// want is the version, wrong the error, with %s for the address.
		want, wrong string
	}{
		{"one that answers", func(c []string) string {
			switch strings.ToUpper(c[0]) {
			case "INFO":
				return fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
			case "AUTH":
				return "+OK\r\n"
			default:
				return "-ERR unknown command\r\n"
			}
		}, "8.0.1", ""},
		{"one that refuses the password", func([]string) string { return "-WRONGPASS invalid username-password pair\r\n" }, "",
			"the engine at %s refused the credentials: correct the user and password in the Secret's key uri"},
		{"one that repeats commands", func(c []string) string {
			return fmt.Sprintf("-ERR unknown command '%s', with args beginning with: '%s'\r\n", c[0], strings.Join(c[1:], "' '"))
		}, "", "can not use the engine at %s: ERR unknown command 'auth'"},
		{"one that never answers", func([]string) string { return "" }, "",
			"no answer from %s in time: check the address and that the network admits the operator"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, tt.answer)
			patience := long
			if strings.Contains(tt.wrong, "in time") {
				patience = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := redisDriver{}.Check(ctx, map[string][]byte{"uri": []byte("redis://app:" + password + "@" + addr)})
			wrong := ""
			if err != nil {
				wrong = strings.ReplaceAll(err.Error(), addr, "%s")
			}
			if got != tt.want || wrong != tt.wrong {
				t.Errorf("version %q, error %q; want %q, %q", got, wrong, tt.want, tt.wrong)
			}
			noLeak(t, wrong)
		})
	}
}
