package plane

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// tokenParam carries a client token where headers cannot be set: EventSource and
// WebSocket in a browser. The binding token is never accepted there.
const tokenParam = "access_token"

// Identity is who makes a request, and what they may do.
type Identity struct {
	// Subject of a client token; empty for the binding and for anonymous.
	Subject string
	// Binding is true for the holder of the binding token.
	Binding bool
	// Worker is true for the holder of the worker token.
	Worker bool
	// Sink is true for the sinks of another namespace.
	Sink  bool
	Grant Grant
	// ExpiresAt is zero when the identity does not expire.
	ExpiresAt time.Time
}

// Authenticator decides who makes a request.
type Authenticator struct {
	binding *Secret
	minted  *mintedTokens
	// worker is nil where there is no worker token.
	worker *Secret
	// watched are secrets of the contract's own.
	watched []*Secret
	// outside and anonymous change while the plane runs; nil where there is none.
	outside   atomic.Pointer[outsideTokens]
	anonymous atomic.Pointer[Grant]

	ctx context.Context
	now func() time.Time
	log *slog.Logger
}

// NewAuthenticator reads the secrets that cfg names. audience names the object
// that the tokens minted here are for. ctx ends the refreshing of outside keys.
func NewAuthenticator(ctx context.Context, cfg planeconfig.Auth, audience string, now func() time.Time, log *slog.Logger) (*Authenticator, error) {
	binding, err := OpenSecret(cfg.TokenFile, cfg.PreviousTokenFile, now)
	if err != nil {
		return nil, fmt.Errorf("binding token: %w", err)
	}
	signing, err := OpenSecret(cfg.SigningKeyFile, cfg.PreviousSigningKeyFile, now)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	a := &Authenticator{binding: binding, minted: &mintedTokens{key: signing, audience: audience, now: now}, ctx: ctx, now: now, log: log}
	if cfg.WorkerTokenFile != "" {
		if a.worker, err = OpenSecret(cfg.WorkerTokenFile, cfg.PreviousWorkerTokenFile, now); err != nil {
			return nil, fmt.Errorf("worker token: %w", err)
		}
	}
	return a, a.Apply(cfg)
}

// Apply has the issuer and the anonymous rights of cfg count from now on. After
// an error, those before stay.
func (a *Authenticator) Apply(cfg planeconfig.Auth) error {
	if err := a.applyJWT(cfg.JWT); err != nil {
		return err
	}
	if cfg.Anonymous == nil {
		a.anonymous.Store(nil)
		return nil
	}
	a.anonymous.Store(&Grant{Grant: *cfg.Anonymous})
	return nil
}

func (a *Authenticator) applyJWT(cfg *planeconfig.JWT) error {
	before := a.outside.Load()
	if before != nil && cfg != nil && before.config == *cfg {
		return nil
	}
	var outside *outsideTokens
	if cfg != nil {
		var err error
		if outside, err = newOutsideTokens(a.ctx, *cfg, a.now, a.log); err != nil {
			return err
		}
	}
	a.outside.Store(outside)
	if before != nil {
		before.end()
	}
	return nil
}

// secrets are those that are to be watched.
func (a *Authenticator) secrets() []*Secret {
	out := []*Secret{a.binding, a.minted.key}
	out = append(out, a.watched...)
	if a.worker != nil {
		out = append(out, a.worker)
	}
	if outside := a.outside.Load(); outside != nil && outside.secret != nil {
		out = append(out, outside.secret)
	}
	return out
}

// Token checks a token from a header or from a protocol's own connect message.
func (a *Authenticator) Token(ctx context.Context, token string) (Identity, *Problem) {
	if a.binding.Matches(token) {
		return Identity{Binding: true, Grant: Grant{All: true}}, nil
	}
	if a.isWorker(token) {
		return Identity{Worker: true, Grant: Grant{Grant: planeconfig.Grant{Rights: []string{RightWork}}}}, nil
	}
	if a.isSink(token) {
		return Identity{Sink: true, Grant: Grant{Grant: sinkGrant}}, nil
	}
	return a.clientToken(ctx, token)
}

// sinkGrant is what it takes to send events to any kind.
var sinkGrant = planeconfig.Grant{Rooms: []string{"*"}, Rights: []string{RightPublish, RightSubmit}}

// isSink reports whether a token is that of another namespace's sinks.
func (a *Authenticator) isSink(token string) bool {
	namespace, ok := planeconfig.SinkTokenNamespace(token)
	if !ok {
		return false
	}
	for _, binding := range a.binding.Values() {
		if subtle.ConstantTimeCompare([]byte(planeconfig.SinkToken(binding, namespace)), []byte(token)) == 1 {
			return true
		}
	}
	return false
}

func (a *Authenticator) isWorker(token string) bool {
	return a.worker != nil && a.worker.Matches(token)
}

func (a *Authenticator) clientToken(ctx context.Context, token string) (Identity, *Problem) {
	if strings.Count(token, ".") != 2 {
		return Identity{}, problemInvalidToken("the token is neither this binding's token nor a JWT; use the key token of the binding Secret, or a token from POST /v1/tokens")
	}
	issuer, err := peekIssuer(token)
	if err != nil {
		return Identity{}, problemInvalidToken("the token is not a well-formed JWT").Because(err)
	}
	outside := a.outside.Load()
	if issuer == MintedIssuer || outside == nil {
		return tokenResult(a.minted.verify(token))
	}
	return tokenResult(outside.verify(ctx, token))
}

// Anonymous is the identity of those without a token.
func (a *Authenticator) Anonymous() (Identity, *Problem) {
	grant := a.anonymous.Load()
	if grant == nil {
		return Identity{}, NewProblem(http.StatusUnauthorized, "missing-token", "A token is needed",
			"send Authorization: Bearer with the binding's token or a client token; where headers cannot be set, a client token as ?access_token=").
			Header("WWW-Authenticate", `Bearer realm="trellis"`)
	}
	return Identity{Grant: *grant}, nil
}

// Request decides who makes r. It returns r without the token in its URL, so
// that no handler and no log sees it.
func (a *Authenticator) Request(r *http.Request) (*http.Request, Identity, *Problem) {
	if header := r.Header.Get("Authorization"); header != "" {
		r, _ = withoutTokenParam(r)
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return r, Identity{}, problemInvalidToken("the Authorization header must be: Bearer <token>")
		}
		id, problem := a.Token(r.Context(), strings.TrimSpace(token))
		return r, id, problem
	}
	r, token := withoutTokenParam(r)
	if token == "" {
		id, problem := a.Anonymous()
		return r, id, problem
	}
	if a.binding.Matches(token) || a.isWorker(token) {
		return r, Identity{}, problemInvalidToken("the binding's or the workers' token was sent in a URL, where proxies log it: rotate it, and use a client token from POST /v1/tokens in URLs")
	}
	id, problem := a.clientToken(r.Context(), token)
	return r, id, problem
}

func withoutTokenParam(r *http.Request) (*http.Request, string) {
	if !strings.Contains(r.URL.RawQuery, tokenParam) {
		return r, ""
	}
	query := r.URL.Query()
	token := query.Get(tokenParam)
	query.Del(tokenParam)
	clean := new(http.Request)
	*clean = *r
	clean.URL = new(url.URL)
	*clean.URL = *r.URL
	clean.URL.RawQuery = query.Encode()
	clean.RequestURI = clean.URL.RequestURI()
	return clean, token
}

func tokenResult(id Identity, err error) (Identity, *Problem) {
	var problem *Problem
	switch {
	case err == nil:
		return id, nil
	case errors.As(err, &problem):
		return Identity{}, problem
	default:
		return Identity{}, problemInvalidToken("the token was refused: " + tokenFault(err)).Because(err)
	}
}

func problemInvalidToken(detail string) *Problem {
	return NewProblem(http.StatusUnauthorized, "invalid-token", "The token is not accepted", detail).
		Header("WWW-Authenticate", `Bearer realm="trellis", error="invalid_token"`)
}

// NeedBinding is the problem of a request that is for the binding's holder only.
func NeedBinding(ctx context.Context) *Problem {
	if IdentityOf(ctx).Binding {
		return nil
	}
	return NewProblem(http.StatusForbidden, "binding-needed", "Only the binding token may do this",
		"send the token of the binding Secret, from a backend of yours; a client token cannot do this")
}

type identityKey struct{}

// WithIdentity returns a context that carries id.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// IdentityOf returns the identity that ctx carries; without one, it has no rights.
func IdentityOf(ctx context.Context) Identity {
	if s, direct := ctx.(*scope); direct && s.identified {
		return s.identity
	}
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// HasIdentity reports whether ctx carries an identity.
func HasIdentity(ctx context.Context) bool {
	_, ok := ctx.Value(identityKey{}).(Identity)
	return ok
}

// authenticate admits requests with an accepted token, or anonymous ones where
// the configuration grants them something. The paths that authenticate by their
// own protocol may be reached without a token, and then have no identity yet.
func (p *Plane) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.ownAuth[r.URL.Path] && !hasToken(r) {
			next.ServeHTTP(w, r)
			return
		}
		r, id, problem := p.auth.Request(r)
		if problem != nil {
			writeRequestProblem(w, r, problem)
			return
		}
		s := scopeOf(r.Context())
		s.identity, s.identified = id, true
		next.ServeHTTP(w, r)
	})
}

func hasToken(r *http.Request) bool {
	return r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, tokenParam) && r.URL.Query().Has(tokenParam)
}

// OwnAuth says that what is served at path takes its token by its own protocol.
// It is to be called before the plane serves.
func (p *Plane) OwnAuth(path string) { p.ownAuth[path] = true }
