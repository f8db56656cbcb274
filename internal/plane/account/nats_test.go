package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trellis-dev/trellis/internal/enginetest"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// longest is far more than an account takes, on a machine that others use too.
const longest = time.Minute

// natsEngine is an engine whose servers know nobody but its operator.
type natsEngine struct {
	*enginetest.NATSCluster
	// admin is the engine's Secret, mounted.
	admin string
}

func startNATS(t *testing.T, members int) *natsEngine {
	t.Helper()
	admin, out := secret(t, map[string]string{planeconfig.KeyOperatorSeed: seed(), planeconfig.KeySystemSeed: seed()}), t.TempDir()
	if err := NATSConfig(admin, out, "${folder}/accounts", ""); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, planeconfig.NATSAccountsFile))
	if err != nil {
		t.Fatal(err)
	}
	e := &natsEngine{enginetest.NATSWith(t, members, "", string(text)), admin}
	put(t, admin, keyURI, e.URI())
	return e
}

// consumer is a Secret of an account that is still to be made.
func (e *natsEngine) consumer(t *testing.T) string {
	t.Helper()
	return secret(t, map[string]string{keyURI: e.URI(), planeconfig.KeySeed: seed()})
}

func (e *natsEngine) make(t *testing.T, account string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	if err := makeNATS(ctx, t, e.admin, account); err != nil {
		t.Fatal(err)
	}
}

// makeNATS tries until the context ends, as the subcommand does.
func makeNATS(ctx context.Context, t *testing.T, adminDir, accountDir string) error {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := natsAccount(ctx, nil, mounted(t, adminDir), mounted(t, accountDir))
		if err == nil || ctx.Err() != nil {
			return err
		}
		<-tick.C
	}
}

// mounted is what a Secret's folder holds.
func mounted(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out[e.Name()] = contents(t, dir, e.Name())
	}
	return out
}

func seed() string {
	raw := make([]byte, planeconfig.NATSSeedBytes)
	_, _ = rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func secret(t *testing.T, data map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range data {
		put(t, dir, name, value)
	}
	return dir
}

func put(t *testing.T, dir, name, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, account string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	servers, options, err := NATSConnection(account)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(servers, append(options, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// TestNATSAccountsAreIsolated has two consumers use the same names, and see nothing of one another.
func TestNATSAccountsAreIsolated(t *testing.T) {
	t.Parallel()
	e := startNATS(t, 1)
	mine, theirs := e.consumer(t), e.consumer(t)
	e.make(t, mine)
	e.make(t, theirs)
	nc, js := connect(t, mine)
	other, otherJS := connect(t, theirs)
	heard, err := other.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "jobs.a", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if _, err := otherJS.Stream(t.Context(), "JOBS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the other account finds the stream: %v", err)
	}
	if _, err := otherJS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.>"}}); err != nil {
		t.Errorf("the name is taken for the other account: %v", err)
	}
	// What comes after shows that what came before would have been heard.
	if err := errors.Join(nc.Flush(), other.Publish("own", nil)); err != nil {
		t.Fatal(err)
	}
	for msg, err := heard.NextMsg(longest); ; msg, err = heard.NextMsg(longest) {
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject == "own" {
			break
		}
		if strings.HasPrefix(msg.Subject, "jobs.") {
			t.Errorf("the other account hears %s", msg.Subject)
		}
	}
	if _, err := nc.Request("$SYS.REQ.SERVER.PING", nil, 200*time.Millisecond); err == nil {
		t.Error("a consumer is answered as the system account is")
	}
}

// TestNATSAccountIsMadeTwiceAndByTwo at once, with a stream in it all the while.
func TestNATSAccountIsMadeTwiceAndByTwo(t *testing.T) {
	t.Parallel()
	e := startNATS(t, 1)
	account := e.consumer(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), longest)
			defer cancel()
			if err := makeNATS(ctx, t, e.admin, account); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, js := connect(t, account)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	e.make(t, account)
	if _, err := js.Publish(t.Context(), "s", nil); err != nil {
		t.Errorf("the account was made again, and takes nothing: %v", err)
	}
}

func TestNATSAccountSurvivesARestart(t *testing.T) {
	t.Parallel()
	e := startNATS(t, 1)
	account := e.consumer(t)
	e.make(t, account)
	_, js := connect(t, account)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	e.Members[0].Kill()
	e.Members[0].Start()
	enginetest.Eventually(t, "the stream to be back", func() error {
		info, err := stream.Info(t.Context())
		if err == nil && info.State.Msgs != 50 {
			t.Fatalf("%d messages are left of 50", info.State.Msgs)
		}
		return err
	})
}

// TestNATSAccountOnThreeMembers is made while one member is gone, which learns of it when it is back.
func TestNATSAccountOnThreeMembers(t *testing.T) {
	t.Parallel()
	e := startNATS(t, 3)
	e.Members[2].Kill()
	account := e.consumer(t)
	e.make(t, account)
	e.Members[2].Start()
	_, js := connect(t, account)
	var stream jetstream.Stream
	enginetest.Eventually(t, "the stream", func() (err error) {
		stream, err = js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err
	})
	acknowledged := 0
	for i := range 60 {
		if i == 30 {
			e.Members[0].Kill()
		}
		if _, err := js.Publish(t.Context(), "s", fmt.Append(nil, i)); err == nil {
			acknowledged++
		}
	}
	enginetest.Eventually(t, "the stream without a member", func() error {
		info, err := stream.Info(t.Context())
		if err == nil && info.State.Msgs < uint64(acknowledged) {
			t.Fatalf("%d messages are left of %d that were acknowledged", info.State.Msgs, acknowledged)
		}
		return err
	})
	// By the member that was gone alone.
	put(t, account, keyURI, "nats://"+e.Members[2].Address())
	enginetest.Eventually(t, "the account at the member that was gone", func() error { return serves(t.Context(), mounted(t, account)) })
}

func TestNATSRefusesAWrongSeed(t *testing.T) {
	t.Parallel()
	e := startNATS(t, 1)
	uri := e.URI()
	tests := []struct {
		name           string
		admin, account map[string]string
		want           string
	}{
		{"of another operator", map[string]string{keyURI: uri, planeconfig.KeyOperatorSeed: seed(), planeconfig.KeySystemSeed: contents(t, e.admin, planeconfig.KeySystemSeed)},
			map[string]string{keyURI: uri, planeconfig.KeySeed: seed()}, "do not trust the operator of its Secret"},
		{"of another system account", map[string]string{keyURI: uri, planeconfig.KeyOperatorSeed: contents(t, e.admin, planeconfig.KeyOperatorSeed), planeconfig.KeySystemSeed: seed()},
			map[string]string{keyURI: uri, planeconfig.KeySeed: seed()}, "do not know the system account of its Secret"},
		{"too short", map[string]string{keyURI: uri, planeconfig.KeyOperatorSeed: contents(t, e.admin, planeconfig.KeyOperatorSeed), planeconfig.KeySystemSeed: contents(t, e.admin, planeconfig.KeySystemSeed)},
			map[string]string{keyURI: uri, planeconfig.KeySeed: "c2hvcnQ"}, "the Secret's key seed can not be used: it is not 32 bytes in base64url"},
		{"of nobody", map[string]string{keyURI: uri}, map[string]string{keyURI: uri, planeconfig.KeySeed: seed()}, "the Secret has no key operatorSeed"},
		{"of an engine that is gone", map[string]string{keyURI: "nats://127.0.0.1:1", planeconfig.KeyOperatorSeed: seed(), planeconfig.KeySystemSeed: seed()},
			map[string]string{keyURI: uri, planeconfig.KeySeed: seed()}, "no server of the engine answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), longest)
			defer cancel()
			err := natsAccount(ctx, nil, tt.admin, tt.account)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
	// Nobody made this one.
	if err := serves(t.Context(), mounted(t, e.consumer(t))); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("an account that was not made: %v", err)
	}
}

func contents(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNATSConfigKeepsData of a server by itself from a cluster, and the other way round.
func TestNATSConfigKeepsData(t *testing.T) {
	admin, out := secret(t, map[string]string{planeconfig.KeyOperatorSeed: seed(), planeconfig.KeySystemSeed: seed()}), t.TempDir()
	err := NATSConfig(admin, out, "accounts", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "set replicas as they were") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(filepath.Join(out, planeconfig.NATSAccountsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is written all the same: %v", err)
	}
	// A pod may be started anew with what it wrote before.
	for range 2 {
		if err := NATSConfig(admin, out, "accounts", filepath.Join(out, "none")); err != nil {
			t.Error(err)
		}
	}
}
