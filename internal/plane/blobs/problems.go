package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

// retryAfter is what clients are told to wait while the ledger or the store does not answer.
const retryAfter = 2 * time.Second

// problem makes a problem of what a ledger or a store answered. What is no answer is a fault of theirs.
func (b *Bucket) problem(operation string, err error) *plane.Problem {
	u := b.live.Load().cfg.Uploads
	switch {
	case errors.Is(err, ErrNotFound):
		return plane.NewProblem(http.StatusNotFound, "no-such-file", "There is no such file", "the id is wrong, or the file is another owner's")
	case errors.Is(err, ErrState):
		return plane.NewProblem(http.StatusConflict, "wrong-status", "The file's status does not allow this",
			"look at the file's status: one that is pending can be completed or aborted, one that is uploaded downloaded or moved, one that is not deleted deleted")
	case errors.Is(err, ErrOwnerBytes):
		return plane.NewProblem(http.StatusForbidden, "owner-full", "The owner has as many bytes as one may have",
			fmt.Sprintf("the limit is %d bytes (uploads.perOwner.bytes), pending files included: delete some, or abort what is pending", u.OwnerBytes))
	case errors.Is(err, ErrOwnerRate):
		return plane.NewProblem(http.StatusTooManyRequests, "owner-too-fast", "The owner begins uploads too fast",
			fmt.Sprintf("%d may be begun in %s (uploads.perOwner.rate)", u.OwnerUploads, time.Duration(u.OwnerWindow))).After(time.Duration(u.OwnerWindow))
	case errors.Is(err, ErrQuota):
		return plane.NewProblem(http.StatusInsufficientStorage, "bucket-full", "The bucket is full",
			fmt.Sprintf("the limit is %d bytes (quota), pending files included", b.live.Load().cfg.Quota))
	case errors.Is(err, ErrKeyReused):
		return plane.NewProblem(http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key was used for another upload",
			"send the same content with the same key, or another key")
	case errors.Is(err, ErrKeyBusy):
		return plane.NewProblem(http.StatusConflict, "key-busy", "The key was the file's own not long ago", "move it to another prefix, or again once the URLs of its upload are over")
	case errors.Is(err, ErrCursor):
		return plane.NewProblem(http.StatusBadRequest, "invalid-cursor", "The cursor is not valid", "cursor is the member cursor of the page before; leave it out to begin anew")
	case errors.Is(err, ErrMismatch):
		return plane.NewProblem(http.StatusConflict, "not-as-said", "The parts are not what was said of them",
			"look at the upload for the parts that are missing or of another size, and send those again")
	}
	if !errors.Is(err, context.Canceled) {
		b.metrics.EngineErrors.WithLabelValues(operation).Inc()
	}
	return plane.NewProblem(http.StatusServiceUnavailable, "engine-unavailable", "The store or the ledger does not answer",
		"nothing was acknowledged; try again, with the same Idempotency-Key where an upload is begun").After(retryAfter).Because(err)
}

func problemForbidden(needed string) *plane.Problem {
	return plane.NewProblem(http.StatusForbidden, "not-allowed", "The token does not allow this", needed+" is needed; ask for a token that has it")
}

func problemID() *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "invalid-id", "The id is not one of a file", "an id is a UUID in lower case, as POST /v1/uploads answers it")
}

func problemIncomplete(e Entry, stored int64) *plane.Problem {
	return plane.NewProblem(http.StatusConflict, "not-uploaded", "The store does not have the whole file",
		fmt.Sprintf("it has %d of %d bytes: send what GET /v1/uploads/%s says is missing, and complete it then", stored, e.Size, e.ID))
}

func problemGone(e Entry) *plane.Problem {
	p := plane.NewProblem(http.StatusGone, "gone", "The file is not there any more", fmt.Sprintf("it is %s: %s", e.Status, e.Reason))
	if e.Status == blobs.StatusPending {
		return plane.NewProblem(http.StatusConflict, "not-uploaded", "The file is not uploaded yet", "complete its upload first")
	}
	return p
}
