package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fault has a partition do what a hook must not, to see what becomes of it. FAULTS lists them, e.g.
// "3:export-hangs,5:import-refuses,8:slow".
type fault string

const (
	exportHangs   fault = "export-hangs"   // says some of it, and then nothing
	exportCut     fault = "export-cut"     // breaks the connection off in the middle
	exportLies    fault = "export-lies"    // says that this was all, in the middle
	exportDies    fault = "export-dies"    // ends the process in the middle, the first time
	importHangs   fault = "import-hangs"   // takes it, and does not answer
	importRefuses fault = "import-refuses" // says 500
	importDies    fault = "import-dies"    // ends the process in the middle, the first time
	slow          fault = "slow"           // takes slowTime for each request
)

const slowTime = time.Second

var faultsKnown = []fault{exportHangs, exportCut, exportLies, exportDies, importHangs, importRefuses, importDies, slow}

func parseFaults(text string) (map[int]fault, error) {
	out := map[int]fault{}
	for f := range strings.SplitSeq(text, ",") {
		if f == "" {
			continue
		}
		partition, name, _ := strings.Cut(f, ":")
		n, err := number(partition)
		if err != nil {
			return nil, fmt.Errorf("FAULTS: %w", err)
		}
		if !slices.Contains(faultsKnown, fault(name)) {
			return nil, fmt.Errorf("FAULTS: %q is none: use %v", name, faultsKnown)
		}
		out[n] = fault(name)
	}
	return out, nil
}

func (f fault) slow(ctx context.Context) {
	if f == slow {
		wait(ctx, slowTime)
	}
}

// export is true where it did what was left to do.
func (f fault) export(s *service, w http.ResponseWriter, r *http.Request, out *bufio.Writer) bool {
	if !strings.HasPrefix(string(f), "export-") || f == exportDies && !s.store.first(string(f)) {
		return false
	}
	_ = out.Flush()
	_ = http.NewResponseController(w).Flush()
	switch f {
	case exportHangs:
		<-r.Context().Done()
	case exportCut:
		panic(http.ErrAbortHandler)
	case exportDies:
		s.exit(1)
	}
	return true
}

// load is true where it did what was left to do.
func (f fault) load(s *service, w http.ResponseWriter, r *http.Request) bool {
	switch f {
	case importHangs:
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case importRefuses:
		http.Error(w, "told to refuse", http.StatusInternalServerError)
	case importDies:
		if !s.store.first(string(f)) {
			return false
		}
		s.exit(1)
	default:
		return false
	}
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
