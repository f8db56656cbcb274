package blobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/pkg/blobs"
)

// partsOfAnswer is the most parts of one answer.
const partsOfAnswer = 1000

// missing asks the store which parts it has, and signs requests for the first ones that it does not, or that are to be sent
// again.
func (b *Bucket) missing(ctx context.Context, now time.Time, e Entry, out blobs.Upload, ttl time.Duration, again []int) (blobs.Upload, error) {
	uploadID, stored, err := b.parts(ctx, e)
	if err != nil || uploadID == "" {
		return out, err
	}
	stored = slices.DeleteFunc(stored, func(p StoredPart) bool { return slices.Contains(again, p.Number) })
	whole, bytes := wholeParts(e, stored)
	out.Stored = bytes
	for number := 1; int64(number-1)*e.PartSize < e.Size && len(out.Parts) < partsOfAnswer; number++ {
		if whole[number] {
			continue
		}
		offset := int64(number-1) * e.PartSize
		size := min(e.PartSize, e.Size-offset)
		r, err := b.objects.SignPart(ctx, now, PartOf{Key: e.Key, UploadID: uploadID, Number: number, Size: size}, ttl)
		if err != nil {
			return out, err
		}
		out.Parts = append(out.Parts, blobs.Part{Number: number, Offset: offset, Size: size, Request: r})
	}
	return out, nil
}

// wholeParts are those that have the size that they are to have, and their bytes.
func wholeParts(e Entry, stored []StoredPart) (whole map[int]bool, bytes int64) {
	whole = map[int]bool{}
	for _, p := range stored {
		if offset := int64(p.Number-1) * e.PartSize; offset < e.Size && p.Size == min(e.PartSize, e.Size-offset) {
			whole[p.Number] = true
			bytes += p.Size
		}
	}
	return whole, bytes
}

// parts are those that the store has of a file, and under which id; none where the whole object is there. Where somebody
// else aborted them, such as a rule of the bucket, the upload begins anew.
func (b *Bucket) parts(ctx context.Context, e Entry) (uploadID string, stored []StoredPart, err error) {
	uploadID = e.UploadID
	if uploadID == "" {
		if uploadID, err = b.beginParts(ctx, e); err != nil {
			return "", nil, err
		}
	}
	stored, err = b.objects.Parts(ctx, e.Key, uploadID)
	if !errors.Is(err, ErrNoObject) {
		return uploadID, stored, err
	}
	if _, err = b.objects.Head(ctx, e.Key); err == nil {
		return "", nil, nil
	}
	if !errors.Is(err, ErrNoObject) {
		return "", nil, err
	}
	e.UploadID = uploadID
	uploadID, err = b.beginParts(ctx, e)
	return uploadID, nil, err
}

// beginParts has the store begin an upload in parts, in place of the one that the file has. One that lost to another
// replica's is aborted. One of which the ledger did not answer whether it counts is left to a scan.
func (b *Bucket) beginParts(ctx context.Context, e Entry) (string, error) {
	// It becomes an object when the last part is there, which is when the file has expired at the latest.
	id, err := b.objects.BeginParts(ctx, Put{Key: e.Key, Size: e.Size, ContentType: e.ContentType, Lock: b.lock(*e.ExpiresAt)})
	if err != nil {
		return "", err
	}
	counts, err := b.ledger.SetParts(ctx, e.ID, e.UploadID, id)
	if err == nil && counts != id || errors.Is(err, ErrState) || errors.Is(err, ErrNotFound) {
		_ = b.objects.AbortParts(ctx, e.Key, id)
	}
	return counts, err
}
