package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/enginetest"
)

// natsUserFile is what nsc writes of a user, with a signature that nobody trusts.
func natsUserFile(t *testing.T) string {
	t.Helper()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	id, errID := user.PublicKey()
	seed, errSeed := user.Seed()
	token, errToken := jwt.NewUserClaims(id).Encode(account)
	file, errFile := jwt.FormatUserConfig(token, seed)
	if err := errors.Join(errID, errSeed, errToken, errFile); err != nil {
		t.Fatal(err)
	}
	return string(file)
}

func TestNATSBinding(t *testing.T) {
	ca, creds := certificate(t), natsUserFile(t)
	const (
		notNATS = "the Secret's key uri is not a URI of NATS: " + natsURIForm
		missing = "the Secret has no key uri: " + natsURIForm
	)
	tests := []struct {
		name, uri, creds, ca string
		want                 map[string]string
		wrong                string
	}{
		{"user and password", "nats://app:" + password + "@h:4333", "", "", map[string]string{
			"host": "h", "port": "4333", "uri": "nats://app:" + password + "@h:4333", "username": "app", "password": password}, ""},
		{"several, with white space", " tls://a,tls://b:1\n", "", "", map[string]string{"host": "a", "port": "4222", "uri": "tls://a,tls://b:1"}, ""},
		{"a token", "nats://" + password + "@h", "", "", map[string]string{
			"host": "h", "port": "4222", "uri": "nats://" + password + "@h", "username": password, "password": ""}, ""},
		{"credentials and an authority", "nats://h", creds, ca, map[string]string{
			"host": "h", "port": "4222", "uri": "nats://h", "user.creds": creds, "ca.crt": ca}, ""},
		{"no URI", "", "", "", nil, missing},
		{"another scheme", "redis://app:" + password + "@h", "", "", nil, notNATS},
		{"no scheme", "app:" + password + "@h:4222", "", "", nil, notNATS},
		{"an empty one of several", "nats://h,", "", "", nil, notNATS},
		{"a slash in the password", "nats://app:s3cret/Pa55@h:4222", "", "", nil, notNATS},
		{"a # behind digits", "nats://app:4711#Pa55@h:4222", "", "", nil, notNATS},
		{"a ? behind digits", "nats://app:4711?Pa55@h:4222", "", "", nil, notNATS},
		{"a comma in the password", "nats://app:s3cret,Pa55@h:4222", "", "", nil, notNATS},
		{"a % in the password", "nats://app:s3cret%Pa55@h", "", "", nil, notNATS},
		{"a port that is none", "nats://:" + password + "@h:port", "", "", nil, notNATS},
		{"credentials that are none", "nats://h", password, "", nil,
			"the Secret's key user.creds holds no credentials of a user: put the file there that nsc generate creds writes"},
		{"an authority that is none", "tls://:" + password + "@h", "", "PEM", nil, "the Secret's key ca.crt holds no PEM certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := natsDriver{}.Binding(map[string][]byte{"uri": []byte(tt.uri), "user.creds": []byte(tt.creds), "ca.crt": []byte(tt.ca)})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("binding (-want +got):\n%s", diff)
			}
			if wrong := text(err); wrong != tt.wrong {
				t.Errorf("error is %q, want %q", wrong, tt.wrong)
			}
			noLeak(t, text(err))
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestExplainNATS(t *testing.T) {
	target, err := natsTargetOf(map[string][]byte{"uri": []byte("nats://app:" + password + "@h,nats://4711@i:1")})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"wrong credentials", fmt.Errorf("connect: %w", nats.ErrAuthorization),
			"the engine at h:4222, i:1 refused the credentials: correct the user and password in the Secret's key uri, or its key user.creds"},
		{"credentials of the past", nats.ErrAuthExpired,
			"the engine at h:4222, i:1 refused the credentials: correct the user and password in the Secret's key uri, or its key user.creds"},
		{"no JetStream for the account", jetstream.ErrJetStreamNotEnabledForAccount, "the user's account at h:4222, i:1 has no JetStream: enable it for the account"},
		{"no JetStream", jetstream.ErrJetStreamNotEnabled, "the engine at h:4222, i:1 runs without JetStream: enable it"},
		{"an unknown authority", fmt.Errorf("dial: %w", x509.UnknownAuthorityError{}),
			"the certificate of h:4222, i:1 is not trusted: put its authority into the Secret's key ca.crt"},
		{"a bad certificate", &tls.CertificateVerificationError{Err: errors.New("expired")},
			"the certificate of h:4222, i:1 is not trusted: put its authority into the Secret's key ca.crt"},
		{"TLS, that was not asked for", nats.ErrSecureConnRequired, "the engine at h:4222, i:1 asks for TLS: begin the uri with tls://"},
		{"no TLS", nats.ErrSecureConnWanted, "the engine at h:4222, i:1 does not speak TLS: begin the uri with nats://, and remove ca.crt"},
		{"no answer", nats.ErrTimeout, "no answer from h:4222, i:1 in time: check the address and that the network admits the operator"},
		{"no connection", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded},
			"no answer from h:4222, i:1 in time: check the address and that the network admits the operator"},
		{"a name that is not known", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "h", Server: "127.0.0.1:53"}},
			"the name h is not known here: correct the Secret's key uri"},
		{"a lost connection", &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 4242}, Err: errors.New("connection reset by peer")},
			"can not use the engine at h:4222, i:1: read: connection reset by peer"},
		{"a server that repeats secrets", errors.New("nats: bad " + password + " and 4711"), "can not use the engine at h:4222, i:1: nats: bad … and …"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := target.explain(tt.err).Error()
			if got != tt.want {
				t.Errorf("message is %q, want %q", got, tt.want)
			}
			noLeak(t, got)
		})
	}
}

// served is a certificate of this machine that is its own authority, and its key, as PEM.
func served(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, errCert := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	pkcs8, errKey := x509.MarshalPKCS8PrivateKey(private)
	if err := errors.Join(errCert, errKey); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// silent takes connections until the end of the test and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// TestNATSCheck asks real servers, and one that is none.
func TestNATSCheck(t *testing.T) {
	t.Parallel()
	with := natsMembers(t, 1).Members[0].Address()
	without := enginetest.NATSFrom(t, 1, func(c *enginetest.NATSCluster, i int) []string {
		m := c.Members[i]
		m.Write("nats.conf", fmt.Sprintf("listen: %q\nhttp: \"127.0.0.1:%d\"\n", m.Address(), m.Monitor))
		return []string{"-c", m.Folder + "/nats.conf"}
	}).Members[0].Address()
	ca, pair := served(t)
	overTLS := enginetest.NATSFrom(t, 1, func(c *enginetest.NATSCluster, i int) []string {
		m := c.Members[i]
		m.Write("cert.pem", ca)
		m.Write("key.pem", pair)
		m.Write("nats.conf", fmt.Sprintf("listen: %q\nhttp: \"127.0.0.1:%d\"\njetstream { store_dir: %q }\ntls { cert_file: %q, key_file: %q }\n",
			m.Address(), m.Monitor, m.Folder, m.Folder+"/cert.pem", m.Folder+"/key.pem"))
		return []string{"-c", m.Folder + "/nats.conf"}
	}).Members[0].Address()
	mute := silent(t)
	tests := []struct {
		name    string
		binding map[string]string
		wrong   string
	}{
		{"one that answers", map[string]string{"uri": "nats://app:app@" + with}, ""},
		{"one of two that answers", map[string]string{"uri": "nats://app:app@127.0.0.1:1,nats://app:app@" + with}, ""},
		{"a wrong password", map[string]string{"uri": "nats://app:" + password + "@" + with},
			"the engine at " + with + " refused the credentials: correct the user and password in the Secret's key uri, or its key user.creds"},
		{"credentials of nobody", map[string]string{"uri": "nats://" + with, "user.creds": natsUserFile(t)},
			"the engine at " + with + " refused the credentials: correct the user and password in the Secret's key uri, or its key user.creds"},
		{"an account without JetStream", map[string]string{"uri": "nats://sys:sys@" + with},
			"the user's account at " + with + " has no JetStream: enable it for the account"},
		{"no JetStream", map[string]string{"uri": "nats://" + without}, "the engine at " + without + " runs without JetStream: enable it"},
		{"no TLS", map[string]string{"uri": "tls://app:" + password + "@" + with},
			"the engine at " + with + " does not speak TLS: begin the uri with nats://, and remove ca.crt"},
		{"TLS by an authority of its own", map[string]string{"uri": "tls://" + overTLS, "ca.crt": ca}, ""},
		{"TLS by an unknown authority", map[string]string{"uri": "tls://" + overTLS},
			"the certificate of " + overTLS + " is not trusted: put its authority into the Secret's key ca.crt"},
		{"TLS by another authority", map[string]string{"uri": "nats://" + overTLS, "ca.crt": certificate(t)},
			"the certificate of " + overTLS + " is not trusted: put its authority into the Secret's key ca.crt"},
		{"nobody there", map[string]string{"uri": "nats://app:" + password + "@127.0.0.1:1"},
			"can not use the engine at 127.0.0.1:1: nats: no servers available for connection"},
		{"no answer", map[string]string{"uri": "nats://app:" + password + "@" + mute},
			"no answer from " + mute + " in time: check the address and that the network admits the operator"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			binding := map[string][]byte{}
			for k, v := range tt.binding {
				binding[k] = []byte(v)
			}
			patience := long
			if strings.Contains(tt.wrong, "in time") {
				patience = 2 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			version, err := natsDriver{}.Check(ctx, binding)
			if got := text(err); got != tt.wrong || (err == nil) != strings.HasPrefix(version, "2.") {
				t.Errorf("version %q, error %q; want %q", version, got, tt.wrong)
			}
			noLeak(t, text(err))
		})
	}
}

func TestNATSReplicas(t *testing.T) {
	for name, c := range map[string]struct{ wanted, there, want int32 }{
		"at the beginning":        {3, 0, 3},
		"one, which stays alone":  {3, 1, 1},
		"more":                    {5, 3, 5},
		"fewer, of which is none": {1, 3, 3},
	} {
		if got := natsReplicas(c.wanted, c.there); got != c.want {
			t.Errorf("%s: %d replicas, want %d", name, got, c.want)
		}
	}
}

func TestNATSRotatable(t *testing.T) {
	ofType := func(s *v1alpha1.EngineSpec) { s.Type = v1alpha1.EngineNATS }
	for reason, e := range map[string]*v1alpha1.Engine{
		v1alpha1.ReasonRotationUnsupported: makeEngine(ofType),
		v1alpha1.ReasonRotatedElsewhere:    makeEngine(ofType, elsewhere("mine")),
	} {
		if got := rotatable(e, pattern.Inputs{Class: makeClass()}, nil); got.OK || got.Reason != reason || got.Message == "" {
			t.Errorf("verdict is %+v, want %s", got, reason)
		}
	}
}
