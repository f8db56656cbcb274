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
	// stalledAfter is how long a server may read nothing of what is sent for long: the system takes that for the same.
	stalledAfter = 30 * time.Second
	// aliveEvery is how often it is asked whether it is there, on a connection on which nothing comes.
	aliveEvery = time.Second
)

// Dialer opens connections within a time. One to a machine that is gone, or cut off, breaks after about 5 seconds, also
// while an answer is waited for; a server that is slow is given its time.
func Dialer(timeout time.Duration) Dial { return dialer(timeout, goneAfter) }

// StreamDialer is Dialer for connections on which more is sent than the other side's system keeps: a server that reads
// nothing for 5 seconds is not gone. They break after 30.
func StreamDialer(timeout time.Duration) Dial { return dialer(timeout, stalledAfter) }

func dialer(timeout, gone time.Duration) Dial {
	return (&net.Dialer{
		Timeout: timeout, Control: func(_, _ string, c syscall.RawConn) error { return noticesGone(c, gone) },
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: goneAfter / 2, Interval: aliveEvery, Count: int((goneAfter - goneAfter/2) / aliveEvery)},
	}).DialContext
}

func noticesGone(c syscall.RawConn, gone time.Duration) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(gone.Milliseconds()))
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
