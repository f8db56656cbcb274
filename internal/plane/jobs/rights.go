package jobs

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

var rights = []string{plane.RightSubmit, plane.RightRead, plane.RightManage, plane.RightWork}

// TokenRequest asks for a client token.
type TokenRequest struct {
	Rights  []string `json:"rights" minItems:"1" maxItems:"4" enum:"submit,read,manage,work" doc:"What the holder may do: submit jobs; read jobs and counts; manage (cancel, retry, delete, redrive, pause); work (lease and end leases)."`
	TTL     string   `json:"ttl,omitempty" maxLength:"16" doc:"How long the token lives, 10s to 24h; 15m by default." example:"15m"`
	Subject string   `json:"subject,omitempty" maxLength:"128" doc:"Who the holder is."`
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

// need is the problem of a request whose token has none of the rights.
func need(ctx context.Context, any ...string) *plane.Problem {
	grant := plane.IdentityOf(ctx).Grant
	if slices.ContainsFunc(any, grant.Has) {
		return nil
	}
	return problemForbidden(any[0])
}

// needJob checks the right and the id of a request for one job.
func needJob(ctx context.Context, id string, any ...string) *plane.Problem {
	if problem := need(ctx, any...); problem != nil {
		return problem
	}
	if !validID(id) {
		return problemID()
	}
	return nil
}

func validID(id string) bool {
	u, err := uuid.Parse(id)
	return err == nil && u.String() == id
}
