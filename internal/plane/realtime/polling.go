package realtime

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
)

const (
	defaultLimit = 100
	maxWait      = 60 * time.Second

	pollCached = "private, no-cache"
	pollVaries = "Authorization"
)

// Messages are part of a room's order.
type Messages struct {
	Messages MessageList `json:"messages" doc:"In order, without holes."`
	Next     string      `json:"next" doc:"Send this as since to get what follows."`
	More     bool        `json:"more" doc:"True when there is more already: ask again at once."`
	Gap      bool        `json:"gap" doc:"True when messages after since are lost: they are no longer kept, or the engine lost them. What follows begins at the oldest that is kept."`
	Reason   string      `json:"gapReason,omitempty" enum:"window-exceeded,epoch-changed,position-ahead" doc:"Why there is a gap."`
}

// AppendJSON writes what encoding/json would, which would look at every byte of
// the messages again.
func (m *Messages) AppendJSON(dst []byte) []byte {
	dst = m.Messages.append(append(dst, `{"messages":`...))
	dst = append(append(append(dst, `,"next":"`...), m.Next...), '"')
	dst = strconv.AppendBool(append(dst, `,"more":`...), m.More)
	dst = strconv.AppendBool(append(dst, `,"gap":`...), m.Gap)
	if m.Reason != "" {
		dst = append(append(append(dst, `,"gapReason":"`...), m.Reason...), '"')
	}
	return append(dst, '}')
}

type pollInput struct {
	Room        string `path:"room" maxLength:"512" doc:"1 to 128 letters, digits or - _ . : ~ @."`
	Since       string `query:"since" maxLength:"64" doc:"A position from an earlier answer; oldest (the default), or latest."`
	Limit       int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most messages in an answer; there may be fewer, see more."`
	Wait        string `query:"wait" maxLength:"16" doc:"Wait as long as this for a message when there is none, at most 60s: long polling." example:"30s"`
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of an earlier answer: 304 when nothing changed."`
}

type pollOutput struct {
	Status       int
	ETag         string `header:"ETag"`
	CacheControl string `header:"Cache-Control"`
	Vary         string `header:"Vary"`
	Body         *Messages
}

func (g *Gateway) registerMessages() {
	huma.Register(g.plane.API, huma.Operation{
		OperationID: "read-messages",
		Method:      http.MethodGet,
		Path:        "/v1/rooms/{room}/messages",
		Summary:     "Poll a room, or wait for its next message",
		Description: "Regular polling: ask with since=next of the last answer, and with its ETag as If-None-Match. " +
			"Long polling: add wait; the answer comes with the first message, or without any when the time is over (200, an empty list, the same next).",
		Tags:        []string{"rooms"},
		Errors:      []int{400, 401, 403, 429, 503},
		Middlewares: plainly(g.readPlainly),
	}, g.poll)
}

func (g *Gateway) poll(ctx context.Context, in *pollInput) (*pollOutput, error) {
	id := plane.IdentityOf(ctx)
	wait, problem := g.parseWait(in.Wait)
	if problem != nil {
		return nil, problem
	}
	if problem := g.mayUse(id, plane.RightSubscribe, in.Room); problem != nil {
		return nil, problem
	}
	from, problem := parseSince(in.Since, sinceOldest)
	if problem != nil {
		return nil, problem
	}
	node, problem := g.ready()
	if problem != nil {
		return nil, problem
	}
	p, err := readHistory(node, in.Room, from, min(in.Limit, g.pageSize))
	if err != nil {
		return nil, plane.Fail(ctx, g.problem(err))
	}
	if from.kind == sincePosition {
		g.metrics.recovered(p.gap)
	}
	out := reading{page: p, list: MessageList{room: in.Room, epoch: p.next.Epoch, history: p.messages}}
	if len(p.messages) == 0 && p.gap == nil && wait > 0 {
		if out, err = g.wait(ctx, in.Room, p.next, in.Limit, wait); err != nil {
			return nil, plane.Fail(ctx, g.problem(err))
		}
	}
	return answer(in, out), nil
}

func (g *Gateway) parseWait(text string) (time.Duration, *plane.Problem) {
	if text == "" {
		if !g.offers(ProtocolPolling) {
			return 0, problemProtocol(ProtocolPolling)
		}
		return 0, nil
	}
	if !g.offers(ProtocolLongPolling) {
		return 0, problemProtocol(ProtocolLongPolling)
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait <= 0 || wait > maxWait {
		return 0, problemInvalid("wait must be a duration such as 30s, more than 0 and at most 60s", plane.ProblemError{Location: "query.wait", Message: "not a duration up to 60s"})
	}
	return wait, nil
}

// reading is a page with its messages as they are to be sent.
type reading struct {
	page
	list MessageList
}

func answer(in *pollInput, p reading) *pollOutput {
	out := &pollOutput{Status: http.StatusOK, ETag: etag(p.page), CacheControl: pollCached, Vary: pollVaries}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
		return out
	}
	body := &Messages{Messages: p.list, Next: p.next.String(), More: p.more}
	if p.gap != nil {
		body.Gap, body.Reason = true, p.gap.Reason
	}
	out.Body = body
	return out
}

// etag names the answer's content: messages never change, so their range, and
// what is said beside it, is enough.
func etag(p page) string {
	var buf [128]byte
	b := append(p.from.append(append(buf[:0], '"')), '-')
	b = strconv.AppendUint(b, p.next.Offset, 10)
	if p.more {
		b = append(b, '+')
	}
	if p.gap != nil {
		b = append(append(b, '!'), p.gap.Reason...)
	}
	return string(append(b, '"'))
}

func matches(ifNoneMatch, etag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == etag || candidate == "*" {
			return true
		}
	}
	return false
}
