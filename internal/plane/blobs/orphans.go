package blobs

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// reasonOrphan is what the event of an orphan says.
const reasonOrphan = "the ledger does not know the object"

// orphanSpace names orphans.
var orphanSpace = uuid.MustParse("6f7d1f0e-9f0a-4a7e-8d8e-3f0f4b1c2d5a")

// toldUntil is when the youngest orphan was written that sinks were told of. A ledger keeps that one time, and no orphans:
// whichever was written later and is past the grace has not been told of.
func (s *Scan) toldUntil(ctx context.Context) (time.Time, error) {
	if !s.Tell {
		return time.Time{}, nil
	}
	return s.Collector.Ledger.OrphansTold(ctx)
}

// tell of those of a page that were written after told, before any is removed. A scan that breaks off tells again of what it
// told; an orphan has the same id each time.
func (s *Scan) tell(ctx context.Context, now, told time.Time, page []Object) error {
	if !s.Tell {
		return nil
	}
	var files []blobs.File
	for _, o := range page {
		if o.Modified.After(told) {
			files = append(files, orphan(now, o))
		}
	}
	if len(files) == 0 {
		return nil
	}
	return s.Collector.Ledger.Orphaned(ctx, now, files)
}

// tellUntil notes that all orphans were told of that are past the grace by now.
func (s *Scan) tellUntil(ctx context.Context, now time.Time) error {
	if !s.Tell {
		return nil
	}
	return s.Collector.Ledger.SetOrphansTold(ctx, now.Add(-s.Grace))
}

// orphan as an event has it. It is nobody's file; its id is that of this writing of the object.
func orphan(now time.Time, o Object) blobs.File {
	written := o.Modified.UTC()
	return blobs.File{
		ID:  uuid.NewSHA1(orphanSpace, []byte(o.Key+"\x1f"+o.ETag+"\x1f"+written.Format(time.RFC3339Nano))).String(),
		Key: o.Key, Status: blobs.StatusOrphaned, Size: o.Size, ETag: o.ETag, CreatedAt: written, UploadedAt: &written, EndedAt: &now, Reason: reasonOrphan,
	}
}
