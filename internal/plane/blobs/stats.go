package blobs

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

type statsOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         blobs.Stats
}

func (b *Bucket) registerStats() {
	huma.Register(b.plane.API, huma.Operation{
		OperationID: "stats", Method: http.MethodGet, Path: "/v1/stats", Summary: "Count files", Tags: []string{"files"},
		Description: "Of the whole bucket, by the ledger. Full rights are needed, as the files are everybody's.", Errors: []int{401, 403, 503},
	}, b.stats)
}

func (b *Bucket) stats(ctx context.Context, _ *struct{}) (*statsOutput, error) {
	if !plane.IdentityOf(ctx).Grant.All {
		return nil, problemForbidden("the binding's token")
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	s, err := b.ledger.Stats(ctx)
	if err != nil {
		return nil, plane.Fail(ctx, b.problem("stats", err))
	}
	out := blobs.Stats{
		Files: map[blobs.Status]int64{}, Bytes: map[blobs.Status]int64{}, Collecting: s.Collecting, Quota: b.live.Load().cfg.Quota,
		Used: s.Bytes[blobs.StatusPending] + s.Bytes[blobs.StatusUploaded],
	}
	for _, status := range blobs.Statuses() {
		out.Files[status], out.Bytes[status] = s.Files[status], s.Bytes[status]
	}
	return &statsOutput{CacheControl: "no-store", Body: out}, nil
}
