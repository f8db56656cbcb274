package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"reflect"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const (
	// natsConnections is how many an account may have at once: a plane of 100 pods has a few each.
	natsConnections = 4096
	// The first and the longest pause between two attempts.
	natsPause, natsLongestPause = 100 * time.Millisecond, 5 * time.Second
)

// makeNATS has every server of the engine know the consumer's account, and returns when JetStream serves it. It
// tries until the context ends; what is there already is left as it is.
func makeNATS(ctx context.Context, adminDir, accountDir string) error {
	token, id, err := natsAccount(adminDir, accountDir)
	if err != nil {
		return err
	}
	pause := natsPause
	for {
		err := pushNATS(ctx, adminDir, id, token)
		if err == nil {
			err = serves(ctx, accountDir)
		}
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("make the account: %w", err)
		case <-timer.C:
		}
		pause = min(2*pause, natsLongestPause)
	}
}

// explained says what to look at, where the words of the client do not. refused is what it means that somebody
// is not let in.
func explained(err error, refused string) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("%s: %w", refused, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("no server of the engine answers: %w", err)
	default:
		return err
	}
}

// natsAccount signs what the account of a consumer may do.
func natsAccount(adminDir, accountDir string) (token, id string, err error) {
	operator, err := readKey(adminDir, planeconfig.KeyOperatorSeed, nkeys.PrefixByteOperator)
	if err != nil {
		return "", "", err
	}
	account, err := readKey(accountDir, planeconfig.KeySeed, nkeys.PrefixByteAccount)
	if err != nil {
		return "", "", err
	}
	if id, err = account.PublicKey(); err != nil {
		return "", "", err
	}
	claims := jwt.NewAccountClaims(id)
	claims.Name = "trellis-" + id[:8]
	claims.Limits.Conn = natsConnections
	claims.Limits.LeafNodeConn = 0
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
	}
	token, err = claims.Encode(operator)
	return token, id, err
}

// pushNATS tells all servers of the account, unless one says that it knows it so.
func pushNATS(ctx context.Context, adminDir, id, token string) error {
	nc, err := systemConnection(adminDir)
	if err != nil {
		return explained(err, "the servers of the engine do not know the system account of its Secret: was the Secret made anew?")
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	known, err := nc.RequestWithContext(ctx, "$SYS.REQ.ACCOUNT."+id+".CLAIMS.LOOKUP", nil)
	if err != nil {
		return fmt.Errorf("ask for the account: %w", err)
	}
	if same(string(known.Data), token) {
		return nil
	}
	answer, err := nc.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(token))
	if err != nil {
		return fmt.Errorf("tell of the account: %w", err)
	}
	var said struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &said); err != nil {
		return fmt.Errorf("read the engine's answer: %w", err)
	}
	if said.Error != nil {
		return fmt.Errorf("the engine refused the account: %s", said.Error.Description)
	}
	return nil
}

// same is true when two tokens say the same of an account, whenever they were signed.
func same(known, wanted string) bool {
	a, errA := jwt.DecodeAccountClaims(known)
	b, errB := jwt.DecodeAccountClaims(wanted)
	if errA != nil || errB != nil || a.Subject != b.Subject || a.Issuer != b.Issuer || a.Name != b.Name {
		return false
	}
	return reflect.DeepEqual(a.Account, b.Account)
}

// serves is nil when the consumer is let in, and has JetStream.
func serves(ctx context.Context, accountDir string) error {
	servers, options, err := NATSConnection(accountDir)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(servers, append(options, nats.NoReconnect())...)
	if err != nil {
		return explained(err, "the servers of the engine do not trust the operator of its Secret: was the Secret made anew?")
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("ask for the account's JetStream: %w", err)
	}
	return nil
}
