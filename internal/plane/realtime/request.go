package realtime

import (
	"context"
	"mime"
	"net/http"
	"reflect"

	"github.com/trellis-dev/trellis/internal/plane"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// mayUse checks a room's name, and the identity's right to it.
func (g *Gateway) mayUse(id plane.Identity, right, room string) *plane.Problem {
	if problem := checkRoom(room); problem != nil {
		return problem
	}
	if !id.Grant.Allows(right, room) {
		return problemForbidden(right, room)
	}
	return nil
}

func checkContentType(value string) *plane.Problem {
	if value == "" || value == "application/json" {
		return nil
	}
	if t, _, err := mime.ParseMediaType(value); err == nil && t == "application/json" {
		return nil
	}
	return plane.NewProblem(http.StatusUnsupportedMediaType, "unsupported-media-type", "The request's body is of a type not understood here",
		"send Content-Type: application/json")
}

// remoteAddr is the address of the request that ctx is of.
func remoteAddr(ctx context.Context) string { return plane.RemoteAddr(ctx) }
