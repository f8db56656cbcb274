package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// SiegeParams are those of a comparison that removes orphans while files are uploaded below the same prefix.
type SiegeParams struct {
	ScanParams
	// Uploaders at once, each over Days days from the first one on.
	Uploaders, Days int
}

// Sieged is what came of it.
type Sieged struct {
	plane.Report
	// Uploads that were acknowledged meanwhile, and Lost ones that are not in the store.
	Uploads, Lost int64
}

// Siege has no grace protect anything: the scan's clock is ahead by more than that.
func Siege(ctx context.Context, p SiegeParams) (any, error) {
	counting := NewCounting()
	defer counting.Close()
	client := &http.Client{Transport: counting}
	objects, err := p.Store.Open(client)
	if err != nil {
		return nil, err
	}
	var out Sieged
	err = WithLedger(ctx, p.URIFile, func(ctx context.Context, l *ledger.Ledger) error {
		collector := &plane.Collector{Ledger: l, Objects: objects, Log: slog.New(slog.DiscardHandler)}
		u := &uploaders{Collector: collector, client: client, prefix: p.Prefix, days: p.Days}
		uploading, stop := context.WithCancel(ctx)
		defer stop()
		var work sync.WaitGroup
		for range p.Uploaders {
			work.Go(func() { u.run(uploading) })
		}
		scan := plane.Scan{Collector: collector, Prefix: p.Prefix, Grace: p.Grace, Remove: true}
		var err error
		out.Report, err = scan.Run(ctx, time.Now().Add(p.Grace+time.Hour))
		stop()
		work.Wait()
		if err = errors.Join(err, u.err); err != nil {
			return err
		}
		out.Uploads = int64(len(u.keys))
		out.Lost, err = u.lost(ctx)
		return err
	})
	return out, err
}

// uploaders upload files of nothing below a prefix.
type uploaders struct {
	*plane.Collector
	client *http.Client
	prefix string
	days   int

	mu   sync.Mutex
	keys []string
	err  error
}

func (u *uploaders) run(ctx context.Context) {
	for ctx.Err() == nil {
		key, err := u.upload(context.WithoutCancel(ctx))
		u.mu.Lock()
		u.keys, u.err = append(u.keys, key), errors.Join(u.err, err)
		u.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (u *uploaders) upload(ctx context.Context) (string, error) {
	now := time.Now()
	until := now.Add(pendingFor)
	id := uuid.Must(uuid.NewV7()).String()
	day := firstDay.AddDate(0, 0, rand.IntN(u.days)).Format("2006/01/02") //nolint:gosec // a place among others
	key := u.prefix + day + "/" + id + ".bin"
	e, _, err := u.Ledger.Begin(ctx, now, plane.NewFile{File: blobs.File{
		ID: id, Key: key, Filename: "a.bin", ContentType: "application/octet-stream", ExpiresAt: &until,
	}}, plane.Bounds{})
	if err != nil {
		return "", err
	}
	signed, err := u.Objects.SignPut(ctx, now, plane.Put{Key: key, ContentType: e.ContentType}, time.Minute)
	if err == nil {
		err = send(ctx, u.client, signed, nil)
	}
	if err == nil {
		e, err = u.Settle(ctx, time.Now(), e, false)
	}
	if err == nil && e.Status != blobs.StatusUploaded {
		err = fmt.Errorf("a file that was uploaded is %s", e.Status)
	}
	return key, err
}

func (u *uploaders) lost(ctx context.Context) (n int64, err error) {
	for _, key := range u.keys {
		switch _, err := u.Objects.Head(ctx, key); {
		case errors.Is(err, plane.ErrNoObject):
			n++
		case err != nil:
			return n, err
		}
	}
	return n, nil
}
