package router

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/carry"
)

// uploadLeast is how much of a body that is sent on as it comes has to come within plane.BodyTimeout, in bytes.
const uploadLeast = 32 << 10

// upload is a body that is sent on as it comes. Until its answer begins it has to go on coming, as it takes a turn of its
// shard; what the shard takes to read it does not count.
type upload struct {
	body io.Reader
	// within is for how long uploadLeast bytes may be waited for; 0 is for ever.
	within time.Duration
	now    func() time.Time
	// left of that, and got of these.
	left time.Duration
	got  int

	mu sync.Mutex
	// until sets when reading ends; it is nil once nothing is to be limited any more.
	until   func(time.Time) error
	stalled bool
}

// upload of the request. A stream of gRPC is a request whose parts may come any time.
func (j *job) upload() *upload {
	u := &upload{body: j.req.Body, within: j.r.pace, left: j.r.pace, now: time.Now, until: http.NewResponseController(j.w).SetReadDeadline}
	if strings.HasPrefix(j.req.Header.Get("Content-Type"), "application/grpc") {
		u.within = 0
	}
	return u
}

// Read implements io.Reader.
func (u *upload) Read(b []byte) (int, error) {
	if u.within <= 0 {
		return u.body.Read(b)
	}
	began := u.now()
	u.limit(began.Add(u.left))
	n, err := u.body.Read(b)
	// It says nothing of the time until the shard has taken that.
	u.limit(time.Time{})
	u.left -= u.now().Sub(began)
	if u.got += n; u.got >= uploadLeast {
		u.got, u.left = 0, u.within
	}
	if err != nil && err != io.EOF && carry.TimedOut(err) {
		u.mu.Lock()
		u.stalled = u.until != nil
		u.mu.Unlock()
	}
	return n, err
}

func (u *upload) limit(t time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until != nil {
		_ = u.until(t)
	}
}

// ease has it take its time from now on, and says whether it stalled before. It is to be called before its request is over:
// what is set later would be set for the next one.
func (u *upload) ease() (stalled bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until != nil && u.within > 0 {
		_ = u.until(time.Time{})
	}
	u.until = nil
	return u.stalled
}

func problemSlow() *plane.Problem {
	return plane.NewProblem(http.StatusRequestTimeout, "request-timeout", "The request's body came too slowly",
		"fewer than 32 KiB of it came within 30 s, and it takes a turn of its shard meanwhile: send it faster, or in several requests; what had come was sent on, so a part of it may have been done").
		Header("Connection", "close")
}
