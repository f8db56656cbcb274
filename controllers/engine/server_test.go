package engine

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// serve listens until the end of the test and answers every command of the Redis protocol.
func serve(t *testing.T, answer func(command []string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				for r := bufio.NewReader(conn); ; {
					command, err := readCommand(r)
					if err != nil {
						return
					}
					_, _ = conn.Write([]byte(answer(command)))
				}
			})
		}
	})
	return l.Addr().String()
}

// readCommand reads an array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	line := func() (string, error) {
		text, err := r.ReadString('\n')
		return strings.TrimRight(text, "\r\n"), err
	}
	head, err := line()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		if _, err := line(); err != nil {
			return nil, err
		}
		if out[i], err = line(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
