package realtime

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	// maxBatch bounds the messages of one request.
	maxBatch = 100
	maxKey   = 128
	// idempotencyTTL is how long a key is remembered.
	idempotencyTTL = 5 * time.Minute
)

// NewMessage is a message to publish.
type NewMessage struct {
	Data           json.RawMessage `json:"data" doc:"Any JSON value, at most limits.messageBytes long."`
	IdempotencyKey string          `json:"idempotencyKey,omitempty" maxLength:"128" doc:"As the header Idempotency-Key, for this message of a batch."`

	// traceParent goes with the message where its request is of no trace.
	traceParent string
	// identified says that the key is the message's identity: whatever comes
	// with it again is the same message.
	identified bool
}

// addressed is a message with the room that it is for.
type addressed struct {
	room string
	NewMessage
}

// PublishRequest is one message, or a batch.
type PublishRequest struct {
	NewMessage
	Messages []NewMessage `json:"messages,omitempty" maxItems:"100" doc:"A batch, instead of data: published in this order."`
}

// Published says what became of a message.
type Published struct {
	Room     string `json:"room,omitempty" doc:"The room."`
	Offset   uint64 `json:"offset,omitempty" doc:"Its place in the room's order."`
	Position string `json:"position,omitempty" doc:"The position after it."`
	// Replayed is true when the key was known and the message had been published before.
	Replayed bool `json:"replayed,omitempty" doc:"True when the idempotency key was known: the message was published before, and is not published twice."`
}

// PublishReply is the result of one message, or the results of a batch in its order.
type PublishReply struct {
	Published
	Results []Published `json:"results,omitempty" doc:"Of a batch: one result a message, in order."`
}

// AppendJSON writes what encoding/json would.
func (p *PublishReply) AppendJSON(dst []byte) []byte {
	dst = p.appendMembers(append(dst, '{'))
	if len(p.Results) > 0 {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, `"results":[`...)
		for i, r := range p.Results {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(r.appendMembers(append(dst, '{')), '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendMembers writes the members that are set. Names of rooms and positions
// need no escaping.
func (p *Published) appendMembers(dst []byte) []byte {
	begin := len(dst)
	text := func(name, value string) {
		if value != "" {
			dst = append(append(append(append(append(dst, `,"`...), name...), `":"`...), value...), '"')
		}
	}
	text("room", p.Room)
	if p.Offset != 0 {
		dst = strconv.AppendUint(append(dst, `,"offset":`...), p.Offset, 10)
	}
	text("position", p.Position)
	if p.Replayed {
		dst = append(dst, `,"replayed":true`...)
	}
	if len(dst) == begin {
		return dst
	}
	// The first comma is one too many.
	return append(dst[:begin], dst[begin+1:]...)
}

type publishInput struct {
	Room        string `path:"room" maxLength:"512" doc:"1 to 128 letters, digits or - _ . : ~ @."`
	Key         string `header:"Idempotency-Key" maxLength:"128" doc:"A key of your own, remembered for 5 minutes: the same key publishes once. Of a batch, it counts for each message by its place."`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/json"`
}

type publishOutput struct {
	Replayed string `header:"Idempotent-Replayed"`
	Body     PublishReply
}

func (g *Gateway) registerPublish() {
	op := huma.Operation{
		OperationID: "publish",
		Method:      http.MethodPost,
		Path:        "/v1/rooms/{room}/messages",
		Summary:     "Publish a message or a batch",
		Description: "Acknowledged once the engine has stored it. A batch is published in its order and stops at the first message that the engine does not take; " +
			"the problem's member results then says which were stored. Try again with the same Idempotency-Key: what was stored is not published twice.",
		Tags:            []string{"rooms"},
		DefaultStatus:   http.StatusCreated,
		MaxBodyBytes:    g.plane.Config.HTTP.MaxBodyBytes,
		BodyReadTimeout: plane.BodyTimeout,
		// The body is read strictly by decodePublish, once and without a generic copy.
		SkipValidateBody: true,
		Errors:           []int{400, 401, 403, 413, 415, 422, 429, 503},
		Middlewares:      plainly(g.publishPlainly),
	}
	schema := g.plane.API.OpenAPI().Components.Schemas.Schema(typeOf[PublishRequest](), true, "PublishRequest")
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	huma.Register(g.plane.API, op, g.publishHandler)
}

func (g *Gateway) publishHandler(ctx context.Context, in *publishInput) (*publishOutput, error) {
	id := plane.IdentityOf(ctx)
	if problem := g.mayUse(id, plane.RightPublish, in.Room); problem != nil {
		return nil, problem
	}
	if problem := checkContentType(in.ContentType); problem != nil {
		return nil, problem
	}
	messages, single, problem := g.decodePublish(in.RawBody, in.Key)
	if problem != nil {
		return nil, problem
	}
	if problem := g.mayPublish(clientKey(id, remoteAddr(ctx)), len(messages)); problem != nil {
		return nil, problem
	}
	results, err := g.publishAll(ctx, id, inRoom(in.Room, messages))
	if err != nil {
		p := g.problem(err)
		if !single {
			p = p.With("results", results)
		}
		return nil, plane.Fail(ctx, p)
	}
	out := &publishOutput{}
	if single {
		out.Body.Published = results[0]
		if results[0].Replayed {
			out.Replayed = "true"
		}
		return out, nil
	}
	out.Body.Results = results
	return out, nil
}

// decodePublish reads the body strictly and makes each message ready to be
// stored, so that nothing of a batch is published when a part of it is not valid.
func (g *Gateway) decodePublish(body []byte, key string) (messages []NewMessage, single bool, problem *plane.Problem) {
	var req PublishRequest
	if problem := plane.DecodeStrict(body, &req); problem != nil {
		return nil, false, problem
	}
	single = req.Messages == nil
	if single == (req.Data == nil) {
		return nil, false, problemInvalid(`the body must have either data, or messages: {"data": …} or {"messages": [{"data": …}]}`)
	}
	messages = req.Messages
	if single {
		messages = []NewMessage{req.NewMessage}
	}
	if len(messages) == 0 || len(messages) > maxBatch {
		return nil, false, problemInvalid(fmt.Sprintf("a batch has 1 to %d messages", maxBatch))
	}
	for i := range messages {
		at := "body"
		if !single {
			at = fmt.Sprintf("body.messages[%d]", i)
		}
		m := &messages[i]
		if m.IdempotencyKey == "" && key != "" {
			m.IdempotencyKey = key
			if !single {
				m.IdempotencyKey += "#" + strconv.Itoa(i)
			}
		}
		if problem := g.checkMessage(at, m); problem != nil {
			return nil, false, problem
		}
	}
	return messages, single, nil
}

// checkMessage compacts a message's data: neither a line of an event stream nor
// one of the Centrifuge protocol may hold a line break.
func (g *Gateway) checkMessage(at string, m *NewMessage) *plane.Problem {
	if m.Data == nil {
		return problemInvalid("every message needs data", plane.ProblemError{Location: at + ".data", Message: "is missing"})
	}
	if len(m.IdempotencyKey) > maxKey+4 || !printable(m.IdempotencyKey) {
		return problemInvalid("an idempotency key has at most 128 printable ASCII characters", plane.ProblemError{Location: at + ".idempotencyKey", Message: "is not valid"})
	}
	var compact bytes.Buffer
	compact.Grow(len(m.Data))
	if err := json.Compact(&compact, m.Data); err != nil {
		return problemInvalid("data is not valid JSON", plane.ProblemError{Location: at + ".data", Message: err.Error()})
	}
	if limit := g.limits().MessageBytes; int64(compact.Len()) > limit {
		return problemMessageSize(at+".data", compact.Len(), limit)
	}
	m.Data = compact.Bytes()
	return nil
}

func inRoom(room string, messages []NewMessage) []addressed {
	out := make([]addressed, len(messages))
	for i, m := range messages {
		out[i] = addressed{room: room, NewMessage: m}
	}
	return out
}

// publishAll stores messages in order and stops at the first that fails.
func (g *Gateway) publishAll(ctx context.Context, id plane.Identity, messages []addressed) ([]Published, error) {
	results := make([]Published, 0, len(messages))
	for _, m := range messages {
		res, err := g.publish(ctx, id, m.room, m.NewMessage)
		if err != nil {
			return results, err
		}
		results = append(results, res)
	}
	return results, nil
}

// publish stores one message whose data is compact JSON within the limits.
func (g *Gateway) publish(ctx context.Context, id plane.Identity, room string, m NewMessage) (Published, error) {
	node, problem := g.ready()
	if problem != nil {
		return Published{}, problem
	}
	tags := g.stamps.tags(g.now())
	if parent := cmp.Or(plane.TraceParent(ctx), m.traceParent); parent != "" {
		tags = map[string]string{tagPublishedAt: tags[tagPublishedAt], tagTraceParent: parent}
	}
	opts := append(make([]centrifuge.PublishOption, 0, 4), g.kept, centrifuge.WithTags(tags))
	if m.IdempotencyKey != "" {
		// Keys are a client's own: one client cannot use up the keys of another.
		opts = append(opts, centrifuge.WithIdempotencyKey(id.Subject+"/"+m.IdempotencyKey), centrifuge.WithIdempotentResultTTL(idempotencyTTL))
	}
	res, err := node.Publish(room, m.Data, opts...)
	if err != nil {
		g.metrics.published.failed.Inc()
		return Published{}, fmt.Errorf("publish to room %q: %w", room, err)
	}
	out := Published{Room: room, Offset: res.Offset, Position: positionOf(res.StreamPosition).String(), Replayed: res.Suppressed}
	if !res.Suppressed {
		g.metrics.published.stored.Inc()
		return out, nil
	}
	g.metrics.published.replayed.Inc()
	if m.identified {
		return out, nil
	}
	return out, g.checkReplay(node, room, positionOf(res.StreamPosition), m)
}

// checkReplay refuses a key that was used for another message. It can tell only
// while the first message is kept; after that, the first result stands.
func (g *Gateway) checkReplay(node *centrifuge.Node, room string, at Position, m NewMessage) error {
	res, err := node.History(room, centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{
		Since: &centrifuge.StreamPosition{Offset: at.Offset - 1}, Limit: 1,
	}))
	if err != nil || res.Epoch != at.Epoch || len(res.Publications) == 0 || res.Publications[0].Offset != at.Offset {
		return nil //nolint:nilerr // the message was stored before; whether it was this one cannot be told now
	}
	if bytes.Equal(res.Publications[0].Data, m.Data) {
		return nil
	}
	return plane.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key was used for another message",
		"use a new key for a new message; the message published with this key is at position "+at.String())
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
