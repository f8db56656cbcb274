package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// Ways by which a bucket gets to know that all is sent.
const (
	// ByClient completes the upload.
	ByClient = "complete"
	// ByStore has a store's notification be sent to the plane.
	ByStore = "notification"
	// Bare has no plane: whoever uploaded tells the sink.
	Bare = "bare"
)

const (
	// bodyBytes of each file.
	bodyBytes = 4096
	// eventWithin is the most that an event is waited for.
	eventWithin = 30 * time.Second
)

// UploadParams are those of a measurement of the time from an upload to its event.
type UploadParams struct {
	// Way is one of ByClient, ByStore and Bare.
	Way    string
	Target Target
	Store  Store
	// Sink is the address to listen at for events.
	Sink string
	// Uploads one after the other, one each so long.
	Uploads int
	Every   time.Duration
}

// Uploaded is what came of it.
type Uploaded struct {
	// Whole times are from before the PUT until the event is at the sink, and After those from the PUT's end.
	Whole, After Times
}

// Upload files and wait for the event of each.
func Upload(ctx context.Context, p UploadParams) (any, error) {
	u, err := newUploading(p)
	if err != nil {
		return nil, err
	}
	stop, err := u.sink.listen(p.Sink)
	if err != nil {
		return nil, err
	}
	defer stop()
	defer u.client.CloseIdleConnections()
	// The first tenth is of connections and plans that are being made.
	warm := p.Uploads / 10
	var whole, after []time.Duration
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for range warm + p.Uploads {
		<-tick.C
		from, sent, arrived, err := u.one(ctx)
		if err != nil {
			return nil, fmt.Errorf("upload: %w", err)
		}
		whole, after = append(whole, arrived.Sub(from)), append(after, arrived.Sub(sent))
	}
	return Uploaded{Whole: quantiles(whole[warm:]), After: quantiles(after[warm:])}, nil
}

// uploading is one measurement.
type uploading struct {
	params   UploadParams
	contract contract
	client   *http.Client
	objects  plane.Objects
	sink     *sink
	body     []byte
}

func newUploading(p UploadParams) (*uploading, error) {
	client := newClient()
	objects, err := p.Store.Open(client)
	return &uploading{
		params: p, contract: contract{p.Target, client}, client: client, objects: objects,
		sink: &sink{waiting: map[string]chan time.Time{}}, body: bytes.Repeat([]byte("x"), bodyBytes),
	}, err
}

// one upload: when its PUT began and ended, and when the event was there.
func (u *uploading) one(ctx context.Context) (from, sent, arrived time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, eventWithin)
	defer cancel()
	f, put, err := u.begin(ctx)
	if err != nil {
		return from, sent, arrived, err
	}
	event := u.sink.await(f.ID)
	from = time.Now()
	if err := send(ctx, u.client, put, u.body); err != nil {
		return from, sent, arrived, err
	}
	sent = time.Now()
	if err := u.tell(ctx, f); err != nil {
		return from, sent, arrived, err
	}
	select {
	case arrived = <-event:
		return from, sent, arrived, nil
	case <-ctx.Done():
		return from, sent, arrived, fmt.Errorf("no event of file %s: %w", f.ID, ctx.Err())
	}
}

// begin is not measured: both sides have their signed request.
func (u *uploading) begin(ctx context.Context) (blobs.File, blobs.Request, error) {
	if u.params.Way != Bare {
		upload, err := u.contract.begin(ctx, "bench")
		if err == nil && upload.Put == nil {
			err = errors.New("the answer has no request to send")
		}
		if err != nil {
			return blobs.File{}, blobs.Request{}, err
		}
		return upload.File, *upload.Put, nil
	}
	now := time.Now().UTC()
	id := uuid.Must(uuid.NewV7()).String()
	f := blobs.File{
		ID: id, Key: "in/bench/" + now.Format("2006/01/02/") + id + ".bin", Status: blobs.StatusUploaded, Filename: "a.bin",
		ContentType: "application/octet-stream", Size: bodyBytes, Owner: "bench", CreatedAt: now, UploadedAt: &now, Revision: 1,
	}
	put, err := u.objects.SignPut(ctx, now, plane.Put{Key: f.Key, Size: f.Size, ContentType: f.ContentType}, time.Minute)
	return f, put, err
}

func (u *uploading) tell(ctx context.Context, f blobs.File) error {
	switch u.params.Way {
	case ByClient:
		return u.contract.post(ctx, "/v1/uploads/"+f.ID+":complete", struct{}{}, nil)
	case ByStore:
		return u.contract.post(ctx, "/v1/events", notification(u.params.Store.Bucket, f.Key), nil)
	}
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.params.Sink, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": f.ID, "Ce-Source": "/bench", "Ce-Type": blobs.EventUploaded, "Ce-Subject": f.ID,
	} {
		req.Header.Set(name, value)
	}
	_, err = do(u.client, req)
	return err
}

// notification of a store, as S3 words it.
func notification(bucket, key string) any {
	type object = map[string]any
	return object{"Records": []object{{
		"eventVersion": "2.2", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
		"s3": object{"bucket": object{"name": bucket}, "object": object{"key": url.QueryEscape(key), "size": bodyBytes}},
	}}}
}

// sink takes CloudEvents, and notes when those of uploads come.
type sink struct {
	mu      sync.Mutex
	waiting map[string]chan time.Time
}

func (s *sink) await(file string) <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan time.Time, 1)
	s.waiting[file] = c
	return c
}

// ServeHTTP implements http.Handler.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body)
	if now := time.Now(); err == nil && r.Header.Get("Ce-Type") == blobs.EventUploaded {
		s.mu.Lock()
		if c, ok := s.waiting[r.Header.Get("Ce-Subject")]; ok {
			delete(s.waiting, r.Header.Get("Ce-Subject"))
			c <- now
		}
		s.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *sink) listen(address string) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for events: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	return func() { _ = server.Close(); serving.Wait() }, nil
}
