package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// The hook is how Trellis carries a partition from one shard to another. While it does, it lets no request for that
// partition through, to neither of them:
//
//	GET    the former owner says all that it has of the partition;
//	PUT    the new one has that, and nothing else of the partition, from then on. It is on the disk before it says 2xx;
//	DELETE the former one forgets it. Only now, as the new owner has all of it.
//
// From the first of them on, what was sent under an earlier epoch is refused: it may have been under way in this process
// while the member beside it was started anew, and nobody waits for it any more.
//
// Each of them may be called again, after a failure anywhere: a PUT replaces what one before it left, and dropping what
// is not there is fine.

// hooked is the partition that a hook is for, and the epoch of the move.
func hooked(r *http.Request) (int, uint64, error) {
	n, err := number(r.PathValue("partition"))
	if err != nil {
		return 0, 0, err
	}
	epoch, err := epochOf(r)
	return n, epoch, err
}

// last is the last line of an export. One that is cut short does not have it.
type last struct {
	End      bool `json:"end"`
	Counters int  `json:"counters"`
}

// export a partition: a line for each counter, with the operations that it remembers, so that an increment that is
// asked for again after the move is known at the new owner too.
func (s *service) export(w http.ResponseWriter, r *http.Request) {
	n, epoch, err := hooked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entries, err := s.store.partition(n).snapshot(epoch)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	for _, e := range entries {
		if err := lines.Encode(e); err != nil {
			return
		}
	}
	if s.faults[n].export(s, w, r, out) {
		return
	}
	if err := lines.Encode(last{End: true, Counters: len(entries)}); err != nil {
		return
	}
	if out.Flush() == nil {
		slog.Info("exported", "partition", n, "counters", len(entries))
	}
}

// load is the import.
func (s *service) load(w http.ResponseWriter, r *http.Request) {
	n, epoch, err := hooked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.faults[n].load(s, w, r) {
		return
	}
	entries, err := readExport(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	if err := s.store.partition(n).replace(entries, epoch); err != nil {
		s.fail(w, err)
		return
	}
	slog.Info("imported", "partition", n, "counters", len(entries))
	w.WriteHeader(http.StatusNoContent)
}

func (s *service) drop(w http.ResponseWriter, r *http.Request) {
	n, epoch, err := hooked(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.store.partition(n).drop(epoch); err != nil {
		s.fail(w, err)
		return
	}
	slog.Info("dropped", "partition", n)
	w.WriteHeader(http.StatusNoContent)
}

var errCut = errors.New("the export is cut short")

// readExport wants all of it: half of a partition must not become the whole of it.
func readExport(r io.Reader) ([]entry, error) {
	var out []entry
	for lines := json.NewDecoder(r); ; {
		var line struct {
			entry
			last
		}
		if err := lines.Decode(&line); err != nil {
			return nil, fmt.Errorf("%w: %w", errCut, err)
		}
		switch {
		case !line.End:
			out = append(out, line.entry)
		case line.Counters != len(out):
			return nil, fmt.Errorf("%w: it has %d counters of %d", errCut, len(out), line.Counters)
		default:
			return out, nil
		}
	}
}
