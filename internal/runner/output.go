package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/trellis-dev/trellis/pkg/jobs"
)

var errTooLarge = errors.New("the result is too large")

// bounded keeps what is written up to a limit; beyond it, over is closed and writes fail.
type bounded struct {
	limit int64
	over  chan struct{}

	mu   sync.Mutex
	data bytes.Buffer
	full bool
}

func newBounded(limit int64) *bounded { return &bounded{limit: limit, over: make(chan struct{})} }

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full {
		return 0, errTooLarge
	}
	if int64(b.data.Len()+len(p)) > b.limit {
		b.full = true
		b.data = bytes.Buffer{}
		close(b.over)
		return 0, errTooLarge
	}
	return b.data.Write(p)
}

func (b *bounded) exceeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

func (b *bounded) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Bytes()
}

// outputOf says what a result is: JSON where it parses as that, else of the type that was declared, else text or bytes.
func outputOf(data []byte, declared string) jobs.Output {
	kind, _, _ := mime.ParseMediaType(declared)
	trimmed := bytes.TrimSpace(data)
	switch {
	case len(trimmed) == 0:
		return jobs.Output{}
	case (declared == "" || kind == "application/json") && utf8.Valid(trimmed) && json.Valid(trimmed):
		return jobs.Output{ContentType: "application/json", Data: trimmed}
	case declared != "" && kind != "application/json" && len(declared) <= maxContentType:
		return jobs.Output{ContentType: declared, Data: data}
	case utf8.Valid(data):
		return jobs.Output{ContentType: "text/plain; charset=utf-8", Data: data}
	}
	return jobs.Output{ContentType: "application/octet-stream", Data: data}
}

const (
	// maxContentType is what the contract takes of one.
	maxContentType = 255
	// maxErrorText is the most bytes of an error's text: the last ones of standard error.
	maxErrorText = 4096
	// maxLine is the most bytes of a logged line, and maxLogged of all lines of one attempt.
	maxLine   = 2 << 10
	maxLogged = 1 << 20
)

// errorLines logs a command's standard error line by line, and keeps its end. It is written to by one goroutine.
type errorLines struct {
	log    *slog.Logger
	line   []byte
	logged int
	tail   []byte
}

func newErrorLines(log *slog.Logger) *errorLines { return &errorLines{log: log} }

func (e *errorLines) Write(p []byte) (int, error) {
	e.tail = append(e.tail, p[max(0, len(p)-maxErrorText):]...)
	if over := len(e.tail) - maxErrorText; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	for rest := p; len(rest) > 0 && e.logged <= maxLogged; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		e.line = append(e.line, part[:min(len(part), maxLine-len(e.line))]...)
		if ended {
			e.flush()
		}
		rest = after
	}
	return len(p), nil
}

// flush logs the line that was begun.
func (e *errorLines) flush() {
	line := strings.ToValidUTF8(string(bytes.TrimRight(e.line, "\r")), "\uFFFD")
	e.line = e.line[:0]
	if line == "" || e.logged > maxLogged {
		return
	}
	if e.logged += len(line); e.logged > maxLogged {
		e.log.Warn("standard error is left out from here on: it is too long", "bytes", maxLogged)
		return
	}
	e.log.Info("stderr", "line", line)
}

// text is the end of standard error, short enough that reserved bytes fit before it.
func (e *errorLines) text(reserved int) string {
	text := errorText(e.tail)
	return strings.ToValidUTF8(text[max(0, len(text)-max(0, maxErrorText-reserved)):], "")
}

// errorText makes text of what may be anything.
func errorText(data []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(string(data), "\uFFFD"), "\x00", "\uFFFD"))
}
