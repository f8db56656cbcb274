package member

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"syscall"
	"time"
)

// request is what a member can be asked: to say how it is, and to forward a listening socket that comes with it.
type request struct {
	// ForwardTo is a host:port inside; without one the request is for the status alone.
	ForwardTo string `json:"forwardTo,omitempty"`
}

// Answer is a member's account of itself.
type Answer struct {
	Units    []UnitStatus `json:"units"`
	Forwards []Forward    `json:"forwards"`
	Error    string       `json:"error,omitempty"`
}

const (
	askTimeout     = 5 * time.Second
	maxRequestSize = 4096
)

// Status asks the member behind the socket how it is.
func Status(socket string) (Answer, error) { return ask(socket, request{}, nil) }

// AddForward gives the member a listening socket of the host; what connects to it is forwarded to target.
func AddForward(socket string, listener *os.File, target string) error {
	_, err := ask(socket, request{ForwardTo: target}, listener)
	return err
}

func ask(socket string, r request, file *os.File) (Answer, error) {
	conn, err := net.DialTimeout("unix", socket, askTimeout)
	if err != nil {
		return Answer{}, fmt.Errorf("asking a member: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	var rights []byte
	if file != nil {
		rights = syscall.UnixRights(int(file.Fd()))
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("asking a member: %w", err)
	}
	if _, _, err := conn.(*net.UnixConn).WriteMsgUnix(body, rights, nil); err != nil {
		return Answer{}, fmt.Errorf("asking a member: %w", err)
	}
	var a Answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return Answer{}, fmt.Errorf("reading a member's answer: %w", err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("the member refused: %s", a.Error)
	}
	return a, nil
}

// server answers what ask asks.
type server struct {
	supervisor *supervisor
	forwarder  *forwarder
}

func (s *server) serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting a request: %w", err)
		}
		go s.handle(conn.(*net.UnixConn))
	}
}

func (s *server) handle(conn *net.UnixConn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	var a Answer
	if err := s.fulfil(conn); err != nil {
		a.Error = err.Error()
	}
	a.Units, a.Forwards = s.supervisor.status(), s.forwarder.list()
	if err := json.NewEncoder(conn).Encode(a); err != nil {
		log.Printf("answering a request: %v", err)
	}
}

func (s *server) fulfil(conn *net.UnixConn) error {
	body, rights := make([]byte, maxRequestSize), make([]byte, syscall.CmsgSpace(4))
	n, nRights, _, _, err := conn.ReadMsgUnix(body, rights)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	files, err := receivedFiles(rights[:nRights])
	if err != nil {
		return err
	}
	var r request
	if err := json.NewDecoder(bytes.NewReader(body[:n])).Decode(&r); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if r.ForwardTo == "" {
		return nil
	}
	if len(files) != 1 {
		return errors.New("a forward needs one listening socket")
	}
	return s.forwarder.add(files[0], r.ForwardTo)
}

func receivedFiles(rights []byte) ([]*os.File, error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, fmt.Errorf("reading passed files: %w", err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return nil, fmt.Errorf("reading passed files: %w", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "listener"))
		}
	}
	return files, nil
}
