package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const natsURIForm = "use nats://user:password@host:4222 or tls://host:4222, several with commas between, with special characters of the password percent-encoded"

// natsTarget is an engine that others run.
type natsTarget struct {
	uri     string
	servers []*url.URL
	options []nats.Option
}

// Binding implements Driver. Source keys: uri; user.creds where the user has no password in it; ca.crt where
// the certificate is not a public one.
func (natsDriver) Binding(source map[string][]byte) (map[string]string, error) {
	target, err := natsTargetOf(source)
	if err != nil {
		return nil, err
	}
	first := target.servers[0]
	data := map[string]string{"host": first.Hostname(), "port": natsPortOf(first), "uri": target.uri}
	if user := first.User; user != nil {
		data["username"] = user.Username()
		data["password"], _ = user.Password()
	}
	for _, key := range []string{planeconfig.KeyCredentials, planeconfig.KeyAuthority} {
		if value := source[key]; len(value) > 0 {
			data[key] = string(value)
		}
	}
	return data, nil
}

func natsTargetOf(source map[string][]byte) (natsTarget, error) {
	target := natsTarget{uri: strings.TrimSpace(string(source["uri"]))}
	if target.uri == "" {
		return target, errors.New("the Secret has no key uri: " + natsURIForm)
	}
	for part := range strings.SplitSeq(target.uri, ",") {
		server, err := url.Parse(strings.TrimSpace(part))
		// What follows a # that is not encoded would be dropped, and the rest of a password taken for a host.
		if err != nil || server.Hostname() == "" || server.Path != "" || strings.ContainsAny(part, "#?") ||
			!slices.Contains([]string{"nats", "tls", "ws", "wss"}, server.Scheme) {
			return target, errors.New("the Secret's key uri is not a URI of NATS: " + natsURIForm)
		}
		target.servers = append(target.servers, server)
	}
	if creds := source[planeconfig.KeyCredentials]; len(creds) > 0 {
		if _, err := nkeys.ParseDecoratedUserNKey(creds); err != nil {
			return target, errors.New("the Secret's key user.creds holds no credentials of a user: put the file there that nsc generate creds writes")
		}
		target.options = append(target.options, nats.UserCredentialBytes(creds))
	}
	if ca := source[planeconfig.KeyAuthority]; len(ca) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return target, errors.New("the Secret's key ca.crt holds no PEM certificate")
		}
		target.options = append(target.options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	return target, nil
}

func natsPortOf(server *url.URL) string {
	if port := server.Port(); port != "" {
		return port
	}
	return fmt.Sprint(natsPort)
}

// addresses are for messages: they hold no credentials.
func (t natsTarget) addresses() string {
	var out []string
	for _, s := range t.servers {
		out = append(out, net.JoinHostPort(s.Hostname(), natsPortOf(s)))
	}
	return strings.Join(out, ", ")
}

// Check implements Driver.
func (natsDriver) Check(ctx context.Context, binding map[string][]byte) (string, error) {
	target, err := natsTargetOf(binding)
	if err != nil {
		return "", err
	}
	patience := checkTimeout
	if end, ok := ctx.Deadline(); ok {
		patience = max(time.Until(end), time.Millisecond) //nolint:forbidigo // the context's own deadline, not a decision of the reconcile
	}
	options := append([]nats.Option{nats.NoReconnect(), nats.Timeout(patience), nats.Name("trellis")}, target.options...)
	nc, err := nats.Connect(target.uri, options...)
	if err != nil {
		return "", target.explain(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", target.explain(err)
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return "", target.explain(err)
	}
	return nc.ConnectedServerVersion(), nil
}

// explain says what to change; other words are the client's or the server's, without secrets.
func (t natsTarget) explain(err error) error {
	at := t.addresses()
	var unknownCA x509.UnknownAuthorityError
	var certificate *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("the engine at %s refused the credentials: correct the user and password in the Secret's key uri, or its key user.creds", at)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("the user's account at %s has no JetStream: enable it for the account", at)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("the engine at %s runs without JetStream: enable it", at)
	case errors.As(err, &unknownCA), errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted: put its authority into the Secret's key ca.crt", at)
	case errors.Is(err, nats.ErrSecureConnRequired):
		return fmt.Errorf("the engine at %s asks for TLS: begin the uri with tls://", at)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("the engine at %s does not speak TLS: begin the uri with nats://, and remove ca.crt", at)
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer from %s in time: check the address and that the network admits the operator", at)
	default:
		return fmt.Errorf("can not use the engine at %s: %s", at, t.withoutSecrets(err.Error()))
	}
}

func (t natsTarget) withoutSecrets(text string) string {
	for _, s := range t.servers {
		if password, ok := s.User.Password(); ok && password != "" {
			text = strings.ReplaceAll(text, password, "…")
		}
		// A name without a password is a token.
		if name := s.User.Username(); name != "" {
			text = strings.ReplaceAll(text, name, "…")
		}
	}
	return text
}

// natsRotatable says why nothing is made anew.
func natsRotatable(external bool) pattern.Verdict {
	if external {
		return pattern.Verdict{Reason: v1alpha1.ReasonRotatedElsewhere, Message: "the credentials of this engine are its owner's, and are not rotated here: " +
			"put new ones into the Secret that secretRef names, and end the old ones two minutes later"}
	}
	return pattern.Verdict{Reason: v1alpha1.ReasonRotationUnsupported, Message: "the keys of a NATS are who its operator and its accounts are, and what they hold would be lost with them: " +
		"create another Engine and point your patterns at it"}
}
