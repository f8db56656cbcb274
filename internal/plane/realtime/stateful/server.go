package stateful

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// maxCalls bounds what peers have this replica do at once.
	maxCalls = 2048
	// keepsPeers is how long a connection of a peer may be idle: longer than a peer keeps one, which closes it first, so
	// that it sends nothing on one that is closed at that moment.
	keepsPeers = 2 * idlePeer
)

// newServer answers the replica's peers.
func (b *Broker) newServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+publishPath, b.servePublish)
	mux.HandleFunc("POST "+historyPath, b.serveHistory)
	slots := make(chan struct{}, maxCalls)
	return &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: keepsPeers, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !b.opts.Accepts(r.Header.Get(planeconfig.HeaderMemberToken)) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			select {
			case slots <- struct{}{}:
			default:
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			defer func() { <-slots }()
			// Names and tags come with the data.
			r.Body = http.MaxBytesReader(w, r.Body, 2*b.opts.MessageBytes+64<<10)
			mux.ServeHTTP(w, r)
		}),
	}
}

// here is the ownership of a room that a peer takes this replica for the owner of. One that knows better than this
// replica has it look again, once.
func (b *Broker) here(r *http.Request, room string) (*view, ownership, bool) {
	for range 2 {
		v := b.members.view()
		if at := v.owner(room); at.member == b.members.self {
			return v, at, true
		}
		if err := b.members.refresh(r.Context(), v); err != nil {
			break
		}
	}
	return nil, ownership{}, false
}

func (b *Broker) servePublish(w http.ResponseWriter, r *http.Request) {
	var call publishCall
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil || call.Room == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, at, ok := b.here(r, call.Room)
	if !ok {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	res, err := b.publishOnce(r.Context(), at, call.Room, call.Data, centrifuge.PublishOptions{
		Tags: call.Tags, IdempotencyKey: call.Key, IdempotentResultTTL: time.Duration(call.KeySeconds) * time.Second,
	})
	if err != nil {
		b.refuse(w, err)
		return
	}
	answer(w, publishAnswer{Offset: res.Offset, Epoch: res.Epoch, Replayed: res.Suppressed})
}

func (b *Broker) serveHistory(w http.ResponseWriter, r *http.Request) {
	var call historyCall
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil || call.Room == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	v, at, ok := b.here(r, call.Room)
	if !ok {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	opts := centrifuge.HistoryOptions{Filter: centrifuge.HistoryFilter{Limit: call.Limit}}
	if call.Since != nil {
		opts.Filter.Since = &centrifuge.StreamPosition{Offset: *call.Since}
	}
	pubs, top, err := b.historyHere(v, at, call.Room, opts)
	if err != nil {
		b.refuse(w, err)
		return
	}
	out := historyAnswer{Offset: top.Offset, Epoch: top.Epoch, Messages: make([]wireMessage, len(pubs))}
	for i, p := range pubs {
		out.Messages[i] = wireMessage{Offset: p.Offset, Time: p.Time, Data: p.Data, Tags: p.Tags}
	}
	answer(w, out)
}

func (b *Broker) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errMoved):
		w.WriteHeader(http.StatusMisdirectedRequest)
	case errors.Is(err, errBusy):
		w.WriteHeader(http.StatusTooManyRequests)
	default:
		b.opts.Log.Debug("a peer is refused", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body)
}
