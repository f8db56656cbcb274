package stateful

import (
	"sync"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	// maxQueue bounds what waits to be stored in one room.
	maxQueue = 4096
	// maxBatch and maxBatchBytes bound what is stored by one call.
	maxBatch      = 64
	maxBatchBytes = 1 << 20
	// askAgain is how long a room is answered for without a word with the engine, which forgets rooms that nobody asks for.
	askAgain = 10 * time.Minute
	// roomOverhead is about what a message takes in memory besides its data.
	roomOverhead = 200
)

// room is what an owner knows of one, under one fence: where it is, and the messages that it has appended itself. What
// came before them is read in the engine.
type room struct {
	name, fence string
	partition   int

	mu sync.Mutex
	// known is false until epoch and top have been read in the engine.
	known bool
	epoch string
	top   uint64
	// asked is when the engine last heard of the room.
	asked time.Time
	// doubtful is true from a call whose outcome is not known until one has appended something: what was given up may
	// still arrive in the engine, so that only the engine can say where the room is.
	doubtful bool
	// tail are the newest messages, without a hole, the last one at top.
	tail  []*centrifuge.Publication
	bytes int64
	// appended is when the last message was, and used when somebody asked for the room.
	appended, used time.Time

	// gone is true once the owner has forgotten the room: another may be in its place.
	gone  bool
	queue []*appending
	// writing is true while one of the waiting takes care of the queue.
	writing bool
	// storing is closed when the call that is under way has been answered; nil while there is none.
	storing chan struct{}
}

// appending is a message that is to be stored.
type appending struct {
	payload string
	pub     *centrifuge.Publication
	key     string
	// remembered is how long the key is.
	remembered time.Duration
	// turn says true when it is to take care of the queue, and false when it is done.
	turn   chan bool
	result centrifuge.PublishResult
	err    error
}

// enqueue adds a message, and reports whether its caller is to take care of the queue.
func (r *room) enqueue(a *appending) (leads bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false, errGone
	}
	if len(r.queue) >= maxQueue {
		return false, errBusy
	}
	r.queue = append(r.queue, a)
	leads = !r.writing
	r.writing = true
	return leads, nil
}

// take is the next batch, in the order in which it came.
func (r *room) take() []*appending {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, size := 0, 0
	for n < len(r.queue) && n < maxBatch && (n == 0 || size+len(r.queue[n].payload) <= maxBatchBytes) {
		size += len(r.queue[n].payload)
		n++
	}
	batch := r.queue[:n:n]
	r.queue = r.queue[n:]
	r.storing = make(chan struct{})
	return batch
}

// answered ends a batch whose first is its caller's own, and hands the queue on.
func (r *room) answered(batch []*appending) {
	r.mu.Lock()
	close(r.storing)
	r.storing = nil
	var next *appending
	if len(r.queue) > 0 {
		next = r.queue[0]
	} else {
		r.queue, r.writing = nil, false
	}
	r.mu.Unlock()
	for _, a := range batch[1:] {
		a.turn <- false
	}
	if next != nil {
		next.turn <- true
	}
}

// forget drops what is in memory. It needs r.mu.
func (r *room) forget() (freed int64) {
	freed = r.bytes
	r.tail, r.bytes = nil, 0
	return freed
}

// end has it forgotten for good.
func (r *room) end() (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.known = true, false
	return r.forget()
}

// lost has it read anew in the engine where the room is.
func (r *room) lost() (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = false
	return r.forget()
}

// doubt notes that a call may or may not have appended something.
func (r *room) doubt() (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.doubtful = false, true
	return r.forget()
}

// found notes that the engine was asked, and where the room is, unless that is known.
func (r *room) found(at centrifuge.StreamPosition, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = now
	if !r.known && !r.gone {
		r.known, r.epoch, r.top = true, at.Epoch, at.Offset
	}
}

// where the room is, if that is known.
func (r *room) where() (at centrifuge.StreamPosition, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return centrifuge.StreamPosition{Epoch: r.epoch, Offset: r.top}, r.known
}

// stored notes messages that the engine has appended, with their offsets, and returns by how many bytes it grew. It keeps
// the newest of them, size at most.
func (r *room) stored(pubs []*centrifuge.Publication, size int, now time.Time) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(pubs) == 0 || r.gone {
		return 0
	}
	before := r.bytes
	r.doubtful, r.appended, r.asked, r.top = false, now, now, pubs[len(pubs)-1].Offset
	for _, pub := range pubs {
		r.tail = append(r.tail, pub)
		r.bytes += int64(len(pub.Data)) + roomOverhead
	}
	if over := len(r.tail) - size; over > 0 {
		for _, pub := range r.tail[:over] {
			r.bytes -= int64(len(pub.Data)) + roomOverhead
		}
		// What is dropped is not kept in memory by what it was a part of.
		clear(r.tail[:over])
		r.tail = r.tail[over:]
	}
	return r.bytes - before
}

// await waits for the call that is under way, so that all that is in the engine now is known here.
func (r *room) await() {
	r.mu.Lock()
	storing := r.storing
	r.mu.Unlock()
	if storing != nil {
		<-storing
	}
}

// kept says what the room keeps.
type kept struct {
	size int
	ttl  time.Duration
}

// read answers from memory what the engine would; ok is false where it must be asked.
func (r *room) read(filter centrifuge.HistoryFilter, keeps kept, now time.Time) (pubs []*centrifuge.Publication, at centrifuge.StreamPosition, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = now
	if !r.known || r.doubtful || filter.Reverse || now.Sub(r.asked) >= askAgain {
		return nil, at, false
	}
	at = centrifuge.StreamPosition{Epoch: r.epoch, Offset: r.top}
	since := uint64(0)
	if filter.Since != nil {
		since = filter.Since.Offset
	}
	if filter.Limit == 0 || since == r.top {
		return nil, at, true
	}
	tail, ok := r.after(filter.Since, keeps.size)
	if !ok || now.Sub(r.appended) >= keeps.ttl {
		return nil, at, false
	}
	if filter.Limit > 0 && len(tail) > filter.Limit {
		tail = tail[:filter.Limit]
	}
	return append(pubs, tail...), at, true
}

// after is the part of the tail after a position, or from the oldest that is kept on; ok is false where some of it is not
// here. It needs r.mu.
func (r *room) after(since *centrifuge.StreamPosition, size int) (tail []*centrifuge.Publication, ok bool) {
	if len(r.tail) == 0 {
		return nil, false
	}
	first := r.tail[0].Offset
	if since == nil {
		return r.tail, first == 1 || len(r.tail) == size
	}
	if since.Offset > r.top || since.Offset+1 < first {
		return nil, false
	}
	return r.tail[since.Offset+1-first:], true
}
