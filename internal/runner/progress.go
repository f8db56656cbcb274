package runner

import (
	"bufio"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// progress reads the named pipe that a command says its progress to, a line each: a number from 0 to 100, and words.
type progress struct {
	pipe *os.File
	done chan struct{}
}

// maxProgressLine is the most bytes of a line; what is longer is read and left out.
const maxProgressLine = 4 << 10

func openProgress(path string, say func(float64, string)) (*progress, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, err
	}
	// Open for both, so that it has a reader before the first writer comes, and does not end with the last one.
	pipe, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	p := &progress{pipe: pipe, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.read(say)
	}()
	return p, nil
}

// close ends the reading and waits for it.
func (p *progress) close() {
	_ = p.pipe.Close()
	<-p.done
}

func (p *progress) read(say func(float64, string)) {
	lines := bufio.NewReaderSize(p.pipe, maxProgressLine)
	for {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			return
		}
		if percent, message, ok := parseProgress(string(line)); ok && !long {
			say(percent, message)
		}
	}
}

// parseProgress reads "50 halfway" and "50% halfway".
func parseProgress(line string) (percent float64, message string, ok bool) {
	number, message, _ := strings.Cut(strings.TrimSpace(line), " ")
	percent, err := strconv.ParseFloat(strings.TrimSuffix(number, "%"), 64)
	if err != nil || math.IsNaN(percent) {
		return 0, "", false
	}
	return min(max(percent, 0), 100), strings.TrimSpace(message), true
}
