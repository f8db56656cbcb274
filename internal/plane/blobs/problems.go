package blobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
			"complete the upload once more, with the ETags of its parts, to be told which to send again")
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

// problemPartsNeeded refuses to take the store's own word for what was sent.
func problemPartsNeeded(e Entry) *plane.Problem {
	return plane.NewProblem(http.StatusBadRequest, "parts-needed", "The ETags of the parts are needed",
		fmt.Sprintf(`send {"parts": [{"number": 1, "etag": "…"}, …]} with the ETag that the store answered for each of the %d parts: the store may keep a part `+
			"that was cut off and list it as whole, so that its list does not tell whether it has your bytes. "+
			"Where you do not have the ETag of a part, send the part again, by GET /v1/uploads/%s?again=1,2", e.parts(), e.ID))
}

// problemOtherParts names parts to send again, as many as one request takes.
func problemOtherParts(e Entry, again []int) *plane.Problem {
	named, more := again[:min(len(again), mostAgain)], ""
	if left := len(again) - len(named); left > 0 {
		more = fmt.Sprintf("; then complete it to be told of %d more", left)
	}
	numbers := strings.Trim(strings.ReplaceAll(fmt.Sprint(named), " ", ","), "[]")
	return plane.NewProblem(http.StatusConflict, "not-as-said", "The parts are not what was said of them",
		fmt.Sprintf("of some parts the store has nothing, or the ETag is missing or another one: send them again, by GET /v1/uploads/%s?again=%s, and complete the upload with the ETags that the store answers%s",
			e.ID, numbers, more)).With("again", named)
}

func problemGone(e Entry) *plane.Problem {
	p := plane.NewProblem(http.StatusGone, "gone", "The file is not there any more", fmt.Sprintf("it is %s: %s", e.Status, e.Reason))
	if e.Status == blobs.StatusPending {
		return plane.NewProblem(http.StatusConflict, "not-uploaded", "The file is not uploaded yet", "complete its upload first")
	}
	return p
}
