package blobs

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var rights = []string{plane.RightSubmit, plane.RightRead, plane.RightManage}

// TokenRequest asks for a client token. Whoever holds it sees and makes files of its subject alone.
type TokenRequest struct {
	Rights  []string `json:"rights" minItems:"1" maxItems:"3" enum:"submit,read,manage" doc:"What the holder may do: submit (upload); read (look, list, download); manage (move, delete)."`
	TTL     string   `json:"ttl,omitempty" maxLength:"16" doc:"How long the token lives, 10s to 24h; 15m by default." example:"15m"`
	Subject string   `json:"subject" minLength:"1" maxLength:"128" doc:"Who the holder is: the owner of the files."`
}

// Asks implements plane.TokenBody.
func (r TokenRequest) Asks() (plane.Asked, *plane.Problem) {
	for _, right := range r.Rights {
		if !slices.Contains(rights, right) {
			return plane.Asked{}, plane.Invalid("rights are " + strings.Join(rights, ", "))
		}
	}
	return plane.Asked{Grant: planeconfig.Grant{Rights: r.Rights}, TTL: r.TTL, Subject: r.Subject}, nil
}

// viewer is whose files a request may see: nil for everybody's.
func viewer(ctx context.Context, right string) (owner *string, problem *plane.Problem) {
	who := plane.IdentityOf(ctx)
	switch {
	case who.Grant.All:
		return nil, nil
	case !who.Grant.Has(right):
		return nil, problemForbidden(right)
	case who.Subject == "":
		return nil, problemForbidden("a subject, whose files they are,")
	}
	return &who.Subject, nil
}

// see gets a file that the request may see; another owner's is as one that is not there.
func (b *Bucket) see(ctx context.Context, id, right string) (Entry, *plane.Problem) {
	owner, problem := viewer(ctx, right)
	if problem != nil {
		return Entry{}, problem
	}
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return Entry{}, problemID()
	}
	e, err := b.ledger.Get(ctx, id)
	if err == nil && owner != nil && e.Owner != *owner {
		err = ErrNotFound
	}
	if err != nil {
		return Entry{}, b.problem("get", err)
	}
	return e, nil
}
