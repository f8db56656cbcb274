// Package progress tells the person who waits what is being done, which of how many, and for how long already.
// On a terminal a line ticks every second; elsewhere a line is written every fifteen seconds.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const quietInterval = 15 * time.Second

// Printer writes progress. Its zero value is not usable; see New.
type Printer struct {
	out   io.Writer
	tty   bool
	start time.Time
	mu    sync.Mutex
}

// New returns a Printer that writes to f and ticks if f is a terminal.
func New(f *os.File) *Printer {
	info, err := f.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &Printer{out: f, tty: tty, start: time.Now()}
}

// Discard is a Printer that stays silent.
func Discard() *Printer { return &Printer{out: io.Discard, start: time.Now()} }

// Say writes one line with the time since the Printer was made.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "[%5.1fs] %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// Text writes a line as it is.
func (p *Printer) Text(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.out, line)
}

// Step announces work and keeps saying how long it has taken until the returned function is called with its outcome.
func (p *Printer) Step(what string) (done func(outcome string)) {
	began := time.Now()
	stop, stopped := make(chan struct{}), make(chan struct{})
	if !p.tty {
		p.Say("%s …", what)
	}
	go func() {
		defer close(stopped)
		p.tick(what, began, stop)
	}()
	return func(outcome string) {
		close(stop)
		<-stopped
		p.Say("%s: %s (%.1fs)", what, outcome, time.Since(began).Seconds())
	}
}

func (p *Printer) tick(what string, began time.Time, stop <-chan struct{}) {
	interval := quietInterval
	if p.tty {
		interval = time.Second
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		so := time.Since(began).Round(time.Second)
		if !p.tty {
			p.Say("%s: %s so far", what, so)
			continue
		}
		p.mu.Lock()
		fmt.Fprintf(p.out, "\r\033[K[%5.1fs] %s … %s", time.Since(p.start).Seconds(), what, so)
		p.mu.Unlock()
	}
}

// clear wipes a ticking line; the caller holds the lock.
func (p *Printer) clear() {
	if p.tty {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
