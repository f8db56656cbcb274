package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What a hook must not do. FAULTS has partitions do it, to see what becomes of them: "3:export-hangs,5:import-refuses:2,8:slow"
// is each time for the partitions 3 and 8, and two times for 5.
const (
	exportHangs   = "export-hangs"   // says some of it, and then nothing
	exportCut     = "export-cut"     // breaks the connection off in the middle
	exportLies    = "export-lies"    // says that this was all, in the middle
	exportDies    = "export-dies"    // ends the process in the middle, once
	importHangs   = "import-hangs"   // takes it, and does not answer
	importRefuses = "import-refuses" // says 500
	importDies    = "import-dies"    // ends the process in the middle, once
	slow          = "slow"           // takes slowTime for each request
)

const slowTime = time.Second

var faultsKnown = []string{exportHangs, exportCut, exportLies, exportDies, importHangs, importRefuses, importDies, slow}

// fault of a partition, and how often it is to happen still. One that is nil never does.
type fault struct {
	name string
	left atomic.Int64
}

func parseFaults(text string) (map[int]*fault, error) {
	out := map[int]*fault{}
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			continue
		}
		parts := strings.Split(one, ":")
		if len(parts) < 2 || len(parts) > 3 {
			return nil, fmt.Errorf("FAULTS: %q is none: write partition:fault, or partition:fault:times", one)
		}
		n, err := number(parts[0])
		times := int64(math.MaxInt64)
		if len(parts) == 3 {
			var wrong error
			times, wrong = strconv.ParseInt(parts[2], 10, 64)
			err = errors.Join(err, wrong)
		}
		if err != nil {
			return nil, fmt.Errorf("FAULTS: %q: %w", one, err)
		}
		if !slices.Contains(faultsKnown, parts[1]) {
			return nil, fmt.Errorf("FAULTS: %q is none: use %v", parts[1], faultsKnown)
		}
		out[n] = &fault{name: parts[1]}
		out[n].left.Store(times)
	}
	return out, nil
}

// now is true where it is to happen now, if it is one of an export, or of an import.
func (f *fault) now(hook string) bool {
	return f != nil && strings.HasPrefix(f.name, hook) && f.left.Add(-1) >= 0
}

func (f *fault) slow(ctx context.Context) {
	if f.now(slow) {
		wait(ctx, slowTime)
	}
}

// export is true where it did what was left to do.
func (f *fault) export(s *service, w http.ResponseWriter, r *http.Request, out *bufio.Writer) bool {
	if !f.now("export-") {
		return false
	}
	_ = out.Flush()
	_ = http.NewResponseController(w).Flush()
	switch f.name {
	case exportHangs:
		<-r.Context().Done()
	case exportCut:
		panic(http.ErrAbortHandler)
	case exportDies:
		return s.die(exportDies)
	}
	return true
}

// load is true where it did what was left to do.
func (f *fault) load(s *service, w http.ResponseWriter, r *http.Request) bool {
	if !f.now("import-") {
		return false
	}
	switch f.name {
	case importHangs:
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case importRefuses:
		http.Error(w, "told to refuse", http.StatusInternalServerError)
	case importDies:
		return s.die(importDies)
	}
	return true
}

// die the first time, whichever process it is.
func (s *service) die(name string) bool {
	if !s.store.first(name) {
		return false
	}
	s.exit(1)
	return true
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
