package stateful

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Paths between the replicas of a gateway.
const (
	publishPath = planeconfig.ShardPath + "/publish"
	historyPath = planeconfig.ShardPath + "/history"
)

const (
	// maxAnswer bounds what a peer may answer, in bytes.
	maxAnswer = 64 << 20
	// idlePeer is how long a connection to a peer is kept unused.
	idlePeer = time.Minute
)

// errUnreached means that nothing was sent to the owner.
var errUnreached = errors.New("the room's owner is not reached")

// errToken means that a peer does not know the token.
var errToken = errors.New("it does not accept this replica's token")

// errPeerEngine is the engine's failure at a peer.
var errPeerEngine = errors.New("the engine does not answer the room's owner")

// wireMessage is a message as peers send it. Data is JSON.
type wireMessage struct {
	Offset uint64            `json:"offset,omitempty"`
	Time   int64             `json:"time,omitempty"`
	Data   json.RawMessage   `json:"data"`
	Tags   map[string]string `json:"tags,omitempty"`
}

type publishCall struct {
	Room string `json:"room"`
	wireMessage
	Key string `json:"key,omitempty"`
	// KeySeconds is how long the key is remembered.
	KeySeconds int `json:"keySeconds,omitempty"`
}

type publishAnswer struct {
	Offset   uint64 `json:"offset"`
	Epoch    string `json:"epoch"`
	Replayed bool   `json:"replayed,omitempty"`
}

type historyCall struct {
	Room  string  `json:"room"`
	Since *uint64 `json:"since,omitempty"`
	Limit int     `json:"limit"`
}

type historyAnswer struct {
	Offset   uint64        `json:"offset"`
	Epoch    string        `json:"epoch"`
	Messages []wireMessage `json:"messages,omitempty"`
}

// peers are the other replicas.
type peers struct {
	client    *http.Client
	transport *http.Transport
	// tokens that may be good at a peer, the newest first: it may not have heard of that yet.
	tokens func() []string
}

func newPeers(tokens func() []string) *peers {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: time.Second, KeepAlive: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64, MaxConnsPerHost: 512, IdleConnTimeout: idlePeer,
	}
	return &peers{client: &http.Client{Transport: t}, transport: t, tokens: tokens}
}

func (p *peers) close() { p.transport.CloseIdleConnections() }

func (p *peers) publish(ctx context.Context, address, room string, data []byte, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	call := publishCall{Room: room, wireMessage: wireMessage{Data: data, Tags: opts.Tags}, Key: opts.IdempotencyKey, KeySeconds: int(opts.IdempotentResultTTL.Seconds())}
	var out publishAnswer
	if err := p.call(ctx, address, publishPath, call, &out); err != nil {
		return centrifuge.PublishResult{}, err
	}
	res := centrifuge.PublishResult{StreamPosition: centrifuge.StreamPosition{Offset: out.Offset, Epoch: out.Epoch}}
	if out.Replayed {
		res.Suppressed, res.SuppressReason = true, centrifuge.SuppressReasonIdempotency
	}
	return res, nil
}

func (p *peers) history(ctx context.Context, address, room string, filter centrifuge.HistoryFilter) ([]*centrifuge.Publication, centrifuge.StreamPosition, error) {
	if filter.Reverse {
		return nil, centrifuge.StreamPosition{}, errMoved
	}
	call := historyCall{Room: room, Limit: filter.Limit}
	if filter.Since != nil {
		call.Since = &filter.Since.Offset
	}
	var out historyAnswer
	if err := p.call(ctx, address, historyPath, call, &out); err != nil {
		return nil, centrifuge.StreamPosition{}, err
	}
	var pubs []*centrifuge.Publication
	for _, m := range out.Messages {
		pubs = append(pubs, &centrifuge.Publication{Offset: m.Offset, Time: m.Time, Data: m.Data, Tags: m.Tags})
	}
	return pubs, centrifuge.StreamPosition{Offset: out.Offset, Epoch: out.Epoch}, nil
}

// call asks a peer. An error says what is known of the outcome: errUnreached and errMoved mean that nothing was done.
func (p *peers) call(ctx context.Context, address, path string, in, out any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	// Data is to arrive as it is.
	enc.SetEscapeHTML(false)
	if err := enc.Encode(in); err != nil {
		return fmt.Errorf("encode for a peer: %w", err)
	}
	var err error
	for _, token := range p.tokens() {
		if err = p.send(ctx, address, path, token, body.Bytes(), out); !errors.Is(err, errToken) {
			break
		}
	}
	return err
}

func (p *peers) send(ctx context.Context, address, path, token string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask a peer: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(planeconfig.HeaderMemberToken, token)
	resp, err := p.client.Do(req)
	if err != nil {
		if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
			return fmt.Errorf("%w: %w", errUnreached, err)
		}
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.Unmarshal(answer, out); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return nil
	case http.StatusMisdirectedRequest:
		return errMoved
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", errUnreached, errToken)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w: it answers %s", errUnreached, resp.Status)
	case http.StatusServiceUnavailable:
		return errPeerEngine
	}
	return fmt.Errorf("%w: it answers %s", ErrUnknown, resp.Status)
}
