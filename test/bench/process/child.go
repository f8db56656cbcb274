package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// stopTimeout is how long a child may take to end by itself.
const stopTimeout = 10 * time.Second

// request and reply are a line each.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

type reply struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// Child is a process that serves calls.
type Child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	mu   sync.Mutex
	once sync.Once
}

// Start runs a program; what it logs goes to log.
func Start(log io.Writer, name, program string, args ...string) (*Child, error) {
	cmd := exec.Command(program, args...) //nolint:gosec // a program of this benchmark
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &Child{name: name, cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<16)}, nil
}

// PID of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Call has the child do something and waits for its answer. When ctx ends
// before that, the child is killed.
func (c *Child) Call(ctx context.Context, method string, params, result any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, err := json.Marshal(params)
	if err == nil {
		line, err = json.Marshal(request{Method: method, Params: line})
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, method, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })
	defer stop()
	if _, err = c.in.Write(append(line, '\n')); err == nil {
		line, err = c.out.ReadBytes('\n')
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, method, errors.Join(ctx.Err(), err))
	}
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, method, err)
	}
	if r.Error != "" {
		return fmt.Errorf("%s: %s: %s", c.name, method, r.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(r.Result, result)
}

// Stop ends the child and waits for it.
func (c *Child) Stop() {
	c.once.Do(func() {
		_ = c.in.Close()
		kill := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
		defer kill.Stop()
		_ = c.cmd.Wait()
	})
}

// Handler answers a call.
type Handler func(ctx context.Context, params json.RawMessage) (any, error)

// Handle makes a Handler of a function on typed parameters.
func Handle[P any](f func(ctx context.Context, params P) (any, error)) Handler {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var params P
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &params); err != nil {
				return nil, fmt.Errorf("read the parameters: %w", err)
			}
		}
		return f(ctx, params)
	}
}

// Serve is the child's side: it answers calls until its standard input ends.
func Serve(ctx context.Context, handlers map[string]Handler) error {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewReaderSize(os.Stdin, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a call: %w", err)
		}
		if err := out.Encode(answer(ctx, handlers, line)); err != nil {
			return fmt.Errorf("answer a call: %w", err)
		}
	}
}

func answer(ctx context.Context, handlers map[string]Handler, line []byte) reply {
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		return reply{Error: err.Error()}
	}
	h, ok := handlers[req.Method]
	if !ok {
		return reply{Error: "no such method"}
	}
	result, err := h(ctx, req.Params)
	if err != nil {
		return reply{Error: err.Error()}
	}
	data, err := json.Marshal(result)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Result: data}
}
