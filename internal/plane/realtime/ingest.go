package realtime

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

type eventsOutput struct {
	Replayed string `header:"Idempotent-Replayed"`
}

func (g *Gateway) registerEvents() {
	huma.Register(g.plane.API, huma.Operation{
		OperationID: "receive-events",
		Method:      http.MethodPost,
		Path:        planeconfig.EventsPath,
		Summary:     "Publish CloudEvents",
		Description: "CloudEvents 1.0 over HTTP: binary, structured or batched. The subject names the room; the message's data is the event in its JSON format. " +
			"Acknowledged with 204 once the engine has stored it. Source and id are the idempotency key: an event sent again is not published twice. " +
			"A batch is published in its order and stops at the first event that the engine does not take; send the whole of it again.",
		Tags:            []string{"events"},
		DefaultStatus:   http.StatusNoContent,
		MaxBodyBytes:    g.plane.Config.HTTP.MaxBodyBytes,
		BodyReadTimeout: plane.BodyTimeout,
		// The body is read by decodeEvents, which knows its three forms.
		SkipValidateBody: true,
		RequestBody:      plane.EventsBody("A CloudEvent 1.0 whose subject is the name of a room."),
		Errors:           []int{400, 401, 403, 413, 415, 429, 503},
	}, g.receiveEvents)
}

func (g *Gateway) receiveEvents(ctx context.Context, in *plane.EventsInput) (*eventsOutput, error) {
	id := plane.IdentityOf(ctx)
	messages, problem := g.decodeEvents(in.Header(), in.RawBody)
	if problem != nil {
		return nil, problem
	}
	for _, m := range messages {
		if !id.Grant.Allows(plane.RightPublish, m.room) {
			return nil, problemForbidden(plane.RightPublish, m.room)
		}
	}
	if problem := g.mayPublish(clientKey(id, remoteAddr(ctx)), len(messages)); problem != nil {
		return nil, problem
	}
	results, err := g.publishAll(ctx, id, messages)
	if err != nil {
		return nil, plane.Fail(ctx, g.problem(err).With("results", results))
	}
	out := &eventsOutput{}
	if len(results) == 1 && results[0].Replayed {
		out.Replayed = "true"
	}
	return out, nil
}
