package member

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// upper is a server that waits for its client to stop sending, and then answers what it got.
func upper(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(conn)
			fmt.Fprintf(conn, "got %s", data)
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// A member takes a listening socket through its own, and forwards what comes in there, both ways and to the end.
func TestAddForward(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	requests, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	s := &server{newSupervisor("", ""), newForwarder("")}
	go func() { served <- s.serve(requests) }()
	stopServing(t, requests, served)

	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := outside.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	outside.Close()
	target := upper(t)
	if err := AddForward(socket, file, target); err != nil {
		t.Fatal(err)
	}
	file.Close() // the member has its own
	conn, err := net.Dial("tcp", outside.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "got hello" {
		t.Errorf("got %q, %v", answer, err)
	}
	status, err := Status(socket)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Forward{{outside.Addr().String(), target}}; !slices.Equal(want, status.Forwards) {
		t.Errorf("the member tells of %v, not %v", status.Forwards, want)
	}
}

func TestAForwardNeedsASocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	requests, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- (&server{newSupervisor("", ""), newForwarder("")}).serve(requests) }()
	stopServing(t, requests, served)
	if err := AddForward(socket, nil, "127.0.0.1:1"); err == nil {
		t.Error("a forward of nothing was accepted")
	}
	// Nonsense must not end the server.
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "nonsense")
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line == "" {
		t.Errorf("got %q, %v", line, err)
	}
	conn.Close()
	if _, err := Status(socket); err != nil {
		t.Error(err)
	}
}

// A unit that ends is started again, and what it said is kept.
func TestSupervisorRestarts(t *testing.T) {
	dir := t.TempDir()
	s := newSupervisor(dir, "m")
	go s.reap()
	s.keep(Unit{Name: "brief", Argv: []string{"sh", "-c", "echo $WORD; exit 3"}, Env: []string{"WORD=said"}})
	s.keep(Unit{Name: "absent", Argv: []string{"/no/such/program"}})
	s.keep(Unit{Name: "waiting", Argv: []string{"true"}, After: filepath.Join(dir, "never")})
	deadline, tick := time.After(20*time.Second), time.Tick(50*time.Millisecond)
	for {
		got := s.status()
		if got[0].Restarts >= 2 && got[0].LastExit == "exit code 3" && got[1].Restarts >= 1 && got[2].Restarts == 0 {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("got %+v", got)
		case <-tick:
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "m-brief.log"))
	if err != nil || len(data) < len("said\nsaid\n") {
		t.Errorf("the log holds %q, %v", data, err)
	}
}

func TestAUnitsEnvironmentReplacesTheMembers(t *testing.T) {
	t.Setenv("PATH", "/members")
	got := environment(Unit{Env: []string{"PATH=/units"}})
	if slices.Contains(got, "PATH=/members") || !slices.Contains(got, "PATH=/units") {
		t.Errorf("got %v", got)
	}
}

func TestRunIsOnlyForFirstProcesses(t *testing.T) {
	if err := Run(); err == nil {
		t.Error("a member's life began outside of its namespaces")
	}
}

// stopServing closes the listener at the test's end and waits for the server.
func stopServing(t *testing.T, requests net.Listener, served <-chan error) {
	t.Cleanup(func() {
		_ = requests.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
}
