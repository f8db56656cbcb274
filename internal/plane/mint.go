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

type tokenInput struct {
	Body TokenRequest
}

type tokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         TokenReply
}

func (p *Plane) registerTokens() {
	huma.Register(p.API, huma.Operation{
		OperationID:   "create-token",
		Method:        http.MethodPost,
		Path:          "/v1/tokens",
		Summary:       "Mint a client token",
		Description:   "Needs the binding token. The token minted is short-lived, good for the rooms and rights named, and safe to hand to a browser.",
		Tags:          []string{"tokens"},
		DefaultStatus: http.StatusCreated,
		MaxBodyBytes:  16 << 10,
		Errors:        []int{400, 401, 403},
	}, p.createToken)
}

func (p *Plane) createToken(ctx context.Context, in *tokenInput) (*tokenOutput, error) {
	if problem := NeedBinding(ctx); problem != nil {
		return nil, problem
	}
	ttl := DefaultTokenTTL
	if in.Body.TTL != "" {
		var err error
		if ttl, err = time.ParseDuration(in.Body.TTL); err != nil || ttl < MinTokenTTL || ttl > MaxTokenTTL {
			return nil, problemInvalid("ttl must be a duration such as 15m, from 10s to 24h", ProblemError{Location: "body.ttl", Message: "not a duration from 10s to 24h"})
		}
	}
	grant := planeconfig.Grant{Rooms: in.Body.Rooms, Rights: in.Body.Rights}
	if len(grant.Rights) == 0 {
		grant.Rights = []string{RightSubscribe}
	}
	if errs := CheckGrant(grant); len(errs) > 0 {
		return nil, problemInvalid("the rooms or rights asked for are not valid", errs...)
	}
	token, expires, err := p.auth.minted.mint(in.Body.Subject, grant, ttl)
	if err != nil {
		return nil, err
	}
	return &tokenOutput{CacheControl: "no-store", Body: TokenReply{Token: token, ExpiresAt: expires.UTC()}}, nil
}

func problemInvalid(detail string, errs ...ProblemError) *Problem {
	p := NewProblem(http.StatusBadRequest, "invalid-request", "The request is not valid", detail)
	p.Errors = errs
	return p
}
