package plane

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Lifetimes of the tokens that planes mint.
const (
	DefaultTokenTTL = 15 * time.Minute
	MinTokenTTL     = 10 * time.Second
	MaxTokenTTL     = 24 * time.Hour
)

// TokenRequest asks for a client token.
type TokenRequest struct {
	Rooms   []string `json:"rooms" minItems:"1" maxItems:"64" doc:"Names of rooms, or prefixes that end in *."`
	Rights  []string `json:"rights,omitempty" maxItems:"3" enum:"subscribe,publish,presence" doc:"What the holder may do there; subscribe by default."`
	TTL     string   `json:"ttl,omitempty" maxLength:"16" doc:"How long the token lives, 10s to 24h; 15m by default." example:"15m"`
	Subject string   `json:"subject,omitempty" maxLength:"128" doc:"Who the holder is. Limits that count per client count per subject."`
}

// TokenReply is a client token.
type TokenReply struct {
	Token     string    `json:"token" doc:"A JWT. Send it as Authorization: Bearer, or as ?access_token= where headers cannot be set."`
	ExpiresAt time.Time `json:"expiresAt" doc:"When it ends; a connection that was opened with it ends too."`
}

// Asked is what a request for a client token asks for.
type Asked struct {
	Grant        planeconfig.Grant
	TTL, Subject string
}

// TokenBody is the body of a request for a client token, in the words of a service.
type TokenBody interface {
	// Asks returns what is asked for, or what is wrong with it.
	Asks() (Asked, *Problem)
}

// Asks implements TokenBody.
func (r TokenRequest) Asks() (Asked, *Problem) {
	grant := planeconfig.Grant{Rooms: r.Rooms, Rights: r.Rights}
	if len(grant.Rights) == 0 {
		grant.Rights = []string{RightSubscribe}
	}
	if errs := CheckGrant(grant); len(errs) > 0 {
		return Asked{}, Invalid("the rooms or rights asked for are not valid", errs...)
	}
	return Asked{Grant: grant, TTL: r.TTL, Subject: r.Subject}, nil
}

type tokenInput[B TokenBody] struct {
	Body B
}

type tokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         TokenReply
}

// OfferTokens has the holder of the binding token mint client tokens that say what B can ask for.
func OfferTokens[B TokenBody](p *Plane) { OfferTokensAt[B](p, "/v1/tokens") }

// OfferTokensAt is OfferTokens at another path.
func OfferTokensAt[B TokenBody](p *Plane, path string) {
	huma.Register(p.API, huma.Operation{
		OperationID:   "create-token",
		Method:        http.MethodPost,
		Path:          path,
		Summary:       "Mint a client token",
		Description:   "Needs the binding token. The token minted is short-lived, good for what is named, and safe to hand to a browser.",
		Tags:          []string{"tokens"},
		DefaultStatus: http.StatusCreated,
		MaxBodyBytes:  16 << 10,
		Errors:        []int{400, 401, 403},
	}, func(ctx context.Context, in *tokenInput[B]) (*tokenOutput, error) {
		if problem := NeedBinding(ctx); problem != nil {
			return nil, problem
		}
		asked, problem := in.Body.Asks()
		if problem != nil {
			return nil, problem
		}
		return p.createToken(asked)
	})
}

func (p *Plane) createToken(asked Asked) (*tokenOutput, error) {
	ttl := DefaultTokenTTL
	if asked.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(asked.TTL); err != nil || ttl < MinTokenTTL || ttl > MaxTokenTTL {
			return nil, Invalid("ttl must be a duration such as 15m, from 10s to 24h", ProblemError{Location: "body.ttl", Message: "not a duration from 10s to 24h"})
		}
	}
	token, expires, err := p.auth.minted.mint(asked.Subject, asked.Grant, ttl)
	if err != nil {
		return nil, err
	}
	return &tokenOutput{CacheControl: "no-store", Body: TokenReply{Token: token, ExpiresAt: expires.UTC()}}, nil
}
