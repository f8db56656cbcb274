package carry

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// goneAfter is how long a server's machine may say nothing at all: neither that data arrived, nor that it is there.
	goneAfter = 5 * time.Second
	// aliveEvery is how often it is asked whether it is there, on a connection on which nothing comes.
	aliveEvery = time.Second
)

// Dialer opens connections within a time. One to a machine that is gone, or cut off, breaks after about 5 seconds, also
// while an answer is waited for; a server that is slow is given its time.
func Dialer(timeout time.Duration) Dial {
	return (&net.Dialer{
		Timeout: timeout, Control: noticesGone,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: goneAfter / 2, Interval: aliveEvery, Count: int((goneAfter - goneAfter/2) / aliveEvery)},
	}).DialContext
}

func noticesGone(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(goneAfter.Milliseconds()))
	})
	return errors.Join(err, failed)
}

// DialWithin bounds the time of a dial that is given; nil is the network's.
func DialWithin(dial Dial, timeout time.Duration) Dial {
	if dial == nil {
		return Dialer(timeout)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}
