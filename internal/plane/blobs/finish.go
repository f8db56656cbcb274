package blobs

import (
	"context"
	"errors"
	"strings"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// mostAgain is the most parts of one request that are sent again.
const mostAgain = 64

// finish makes the parts one object where all are there and are those that the client sent, and tells how many bytes are.
// Without a word of what was sent, which sent is nil for, the store's own is taken where it keeps whole parts alone.
func (b *Bucket) finish(ctx context.Context, e Entry, sent []blobs.SentPart) (int64, *plane.Problem) {
	etags, problem := etagsOf(e, sent)
	if problem != nil {
		return 0, problem
	}
	stored, err := b.objects.Parts(ctx, e.Key, e.UploadID)
	if errors.Is(err, ErrNoObject) {
		return 0, nil // Finished before, or aborted by somebody else.
	}
	if err != nil {
		return 0, b.problem("complete", err)
	}
	if sent == nil {
		if b.live.Load().cfg.Settings.Features.Of(planeconfig.S3WholeParts) != planeconfig.S3Native {
			return 0, problemPartsNeeded(e)
		}
		if _, bytes := wholeParts(e, stored); bytes != e.Size {
			return bytes, nil
		}
	} else {
		var again []int
		if stored, again = asSent(e, stored, etags); len(again) > 0 {
			return 0, problemOtherParts(e, again)
		}
	}
	err = b.objects.FinishParts(ctx, e.Key, e.UploadID, stored)
	if err = ignore(ignore(err, ErrNoObject), ErrExists); err != nil {
		return 0, b.problem("complete", err)
	}
	return e.Size, nil
}

// etagsOf the parts that were sent, by their numbers and without quotes.
func etagsOf(e Entry, sent []blobs.SentPart) (map[int]string, *plane.Problem) {
	f := &plane.Faults{At: "body"}
	out := make(map[int]string, len(sent))
	for _, p := range sent {
		_, twice := out[p.Number]
		switch {
		case p.Number > e.parts():
			f.Add("parts", "number %d is above the %d parts of the file", p.Number, e.parts())
		case twice:
			f.Add("parts", "number %d is there twice: name each part once, with its newest ETag", p.Number)
		}
		if problem := f.Problem(); problem != nil {
			return nil, problem
		}
		out[p.Number] = strings.Trim(p.ETag, `"`)
	}
	return out, nil
}

// asSent are the stored parts of which the store has what the client sent, and the numbers of all others of the file.
func asSent(e Entry, stored []StoredPart, etags map[int]string) (parts []StoredPart, again []int) {
	whole, _ := wholeParts(e, stored)
	same := map[int]bool{}
	for _, p := range stored {
		if etag, sent := etags[p.Number]; sent && etag == p.ETag && whole[p.Number] {
			parts, same[p.Number] = append(parts, p), true
		}
	}
	for number := 1; number <= e.parts(); number++ {
		if !same[number] {
			again = append(again, number)
		}
	}
	return parts, again
}

// parts that the file has, where it comes in parts.
func (e Entry) parts() int {
	if e.PartSize <= 0 {
		return 0
	}
	return int((e.Size + e.PartSize - 1) / e.PartSize)
}
