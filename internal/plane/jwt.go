package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// MintedIssuer is the issuer of the tokens that planes mint.
const MintedIssuer = "trellis.dev/plane"

// clockSkew between an issuer and this plane that is forgiven.
const clockSkew = 10 * time.Second

// claims are what a client token says. Rooms and Rights stand beside the
// registered claims, so that any issuer can add them.
type claims struct {
	jwt.RegisteredClaims
	Rooms  []string `json:"rooms,omitempty"`
	Rights []string `json:"rights,omitempty"`
}

func (c claims) identity() Identity {
	id := Identity{Subject: c.Subject, Grant: Grant{Grant: planeconfig.Grant{Rooms: c.Rooms, Rights: c.Rights}}}
	if c.ExpiresAt != nil {
		id.ExpiresAt = c.ExpiresAt.Time
	}
	return id
}

// peekIssuer reads the issuer without verifying: it only chooses the key.
func peekIssuer(token string) (string, error) {
	var c claims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return "", err
	}
	return c.Issuer, nil
}

// mintedTokens makes and verifies this plane's own tokens (HS256).
type mintedTokens struct {
	key      *Secret
	audience string
	now      func() time.Time
}

func (m *mintedTokens) mint(subject string, g planeconfig.Grant, ttl time.Duration) (string, time.Time, error) {
	now := m.now()
	expires := now.Add(ttl).Truncate(time.Second)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    MintedIssuer,
			Subject:   subject,
			Audience:  jwt.ClaimStrings{m.audience},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
		},
		Rooms:  g.Rooms,
		Rights: g.Rights,
	})
	signed, err := token.SignedString(m.key.Value())
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign client token: %w", err)
	}
	return signed, expires, nil
}

func (m *mintedTokens) verify(token string) (Identity, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(MintedIssuer), jwt.WithAudience(m.audience),
		jwt.WithExpirationRequired(), jwt.WithLeeway(0), jwt.WithTimeFunc(m.now),
	)
	var err error
	for _, key := range m.key.Values() {
		var c claims
		_, err = parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil })
		if err == nil {
			return c.identity(), nil
		}
	}
	return Identity{}, err
}

// outsideTokens verifies the tokens of an outside issuer. The algorithms are
// those of the configured kind of key only, so a public key is never taken for
// a shared secret.
type outsideTokens struct {
	config planeconfig.JWT
	parser *jwt.Parser
	secret *Secret
	keys   keyfunc.Keyfunc
	// end ends the refreshing of the keys.
	end context.CancelFunc
}

var (
	secretMethods = []string{"HS256", "HS384", "HS512"}
	publicMethods = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

func newOutsideTokens(ctx context.Context, cfg planeconfig.JWT, now func() time.Time, log *slog.Logger) (*outsideTokens, error) {
	o := &outsideTokens{config: cfg, end: func() {}}
	methods := publicMethods
	if cfg.SecretFile != "" {
		methods = secretMethods
		var err error
		if o.secret, err = OpenSecret(cfg.SecretFile, "", now); err != nil {
			return nil, fmt.Errorf("secret of the outside issuer: %w", err)
		}
	}
	opts := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithExpirationRequired(),
		jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(now),
	}
	if cfg.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		opts = append(opts, jwt.WithAudience(cfg.Audience))
	}
	o.parser = jwt.NewParser(opts...)
	if o.secret != nil {
		return o, nil
	}
	ctx, o.end = context.WithCancel(ctx)
	var err error
	o.keys, err = keyfunc.NewDefaultOverrideCtx(ctx, []string{cfg.JWKSURL}, keyfunc.Override{
		Client:            &http.Client{Transport: boundedBodies{http.DefaultTransport}},
		HTTPTimeout:       5 * time.Second,
		RefreshInterval:   15 * time.Minute,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(5*time.Second), 3),
		// A burst of unknown key ids must not queue up requests behind the limiter.
		RateLimitWaitMax: 100 * time.Millisecond,
		RefreshErrorHandlerFunc: func(u string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("the keys of the outside issuer could not be fetched; those known stay in use", "url", u, "error", err)
			}
		},
	})
	if err != nil {
		o.end()
		return nil, fmt.Errorf("keys of the outside issuer: %w", err)
	}
	return o, nil
}

// maxKeySet bounds what an issuer's server may answer.
const maxKeySet = 1 << 20

// boundedBodies reads no more of a response than a set of keys can be.
type boundedBodies struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxKeySet)
	return resp, nil
}

func (o *outsideTokens) verify(ctx context.Context, token string) (Identity, error) {
	var c claims
	if o.secret != nil {
		var err error
		for _, key := range o.secret.Values() {
			if _, err = o.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
				return c.identity(), nil
			}
		}
		return Identity{}, err
	}
	_, err := o.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		// A token without a key id is tried only against keys of its algorithm's kind,
		// which the parser's list of methods and the key's Go type already ensure.
		return o.keys.KeyfuncCtx(ctx)(t)
	})
	if err == nil {
		return c.identity(), nil
	}
	if errors.Is(err, keyfunc.ErrKeyfunc) || errors.Is(err, jwkset.ErrKeyNotFound) || errors.Is(err, jwt.ErrTokenUnverifiable) {
		known, readErr := o.keys.Storage().KeyReadAll(ctx)
		if readErr != nil || len(known) == 0 {
			return Identity{}, NewProblem(http.StatusServiceUnavailable, "keys-unavailable", "The issuer's keys are not here yet",
				"the keys of the token's issuer could not be fetched; try again").After(5 * time.Second).Because(err)
		}
	}
	return Identity{}, err
}

// tokenFault puts the parser's error in a client's words, without echoing the token.
func tokenFault(err error) string {
	faults := []struct {
		is   error
		says string
	}{
		{jwt.ErrTokenExpired, "it has expired; get a new one"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet; check the issuer's clock"},
		{jwt.ErrTokenUsedBeforeIssued, "it was issued in the future; check the issuer's clock"},
		{jwt.ErrTokenInvalidIssuer, "its issuer (iss) is not the one configured"},
		{jwt.ErrTokenInvalidAudience, "its audience (aud) is not this gateway"},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks a claim that is needed: exp, and iss and aud where they are configured"},
		{jwkset.ErrKeyNotFound, "its key id (kid) is not among the issuer's keys"},
		{jwt.ErrTokenSignatureInvalid, "its signature or algorithm (alg) is not of the configured key"},
	}
	i := slices.IndexFunc(faults, func(f struct {
		is   error
		says string
	}) bool {
		return errors.Is(err, f.is)
	})
	if i < 0 {
		return "it could not be verified"
	}
	return faults[i].says
}

// ExpiredToken reports whether p refuses a token because it has expired.
func ExpiredToken(p *Problem) bool { return errors.Is(p, jwt.ErrTokenExpired) }
