package realtime

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/redis/rueidis"
)

// lineageTimeout bounds the check of one new connection, with the renewal of all epochs if need be.
const lineageTimeout = time.Minute

// lineage keeps positions honest when the engine may have lost what it had acknowledged: a replica
// that was promoted, or a server that came back without its last writes, would count on from a
// lower offset in the same epoch, and clients ahead of it would miss messages and not know.
//
// The engine holds a mark that says whose writes its rooms continue. Every new connection is
// checked against it before its first use. Where writes may be missing, the epoch of every room is
// replaced first, and the mark written last: so nothing is published in an old epoch on a server
// that may lack a part of it. Any number of planes may do so at once, and may die in the middle.
type lineage struct {
	target func() (target, error)
	// began is where the connections lead.
	began target
	tls   *tls.Config
	// prefix of the rooms' keys.
	prefix string
	log    *slog.Logger

	mu sync.Mutex
	// seen is the newest mark that this plane knows.
	seen mark
	// changes counts the marks that replaced another: rooms are to be resumed.
	changes atomic.Uint64
}

// mark says whose writes the rooms continue.
type mark struct {
	// Failover is the number that the Sentinels gave to the last promotion; empty without Sentinels.
	Failover string
	// Server is the replication id, which is new after each promotion and each start.
	Server string
}

// credentials implements centrifuge.RedisShardConfig.AuthCredentialsFn. It is called for each new
// connection, to a server or to a Sentinel, before anything is sent on it. The files are read each
// time, so that a rotated password applies without a restart, as soon as the server accepts it.
func (l *lineage) credentials(c centrifuge.RedisAuthCredentialsContext) (centrifuge.RedisAuthCredentials, error) {
	t, err := l.target()
	if err != nil {
		return centrifuge.RedisAuthCredentials{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lineageTimeout)
	defer cancel()
	accepted, err := l.check(ctx, t, c.Address.String())
	if err != nil {
		return centrifuge.RedisAuthCredentials{}, fmt.Errorf("the engine is not used: %w", err)
	}
	return centrifuge.RedisAuthCredentials{Username: accepted.user, Password: accepted.password}, nil
}

// check asks the server at address what it is, and renews its rooms' epochs where they must be. It
// returns the credentials that were accepted.
func (l *lineage) check(ctx context.Context, t target, address string) (login, error) {
	c, accepted, err := l.dial(address, t.servers, t.database)
	if err != nil {
		if t.master == "" || !refused(err) {
			return login{}, err
		}
		// A Sentinel with credentials of its own, or one that knows no databases.
		s, itsOwn, sentinelErr := l.dial(address, t.sentinels, 0)
		if sentinelErr != nil {
			return login{}, err
		}
		s.Close()
		return itsOwn, nil
	}
	defer c.Close()
	info, err := readInfo(ctx, c)
	switch {
	case err != nil:
		return login{}, err
	case info.mode == "sentinel":
		return accepted, nil
	case info.mode == "cluster":
		// Its nodes fail over one by one; that is not followed.
		return accepted, nil
	case info.role != "master":
		return login{}, errors.New("it is a replica, and not to be written to")
	}
	return accepted, l.follow(ctx, c, t, info)
}

// refused is true for an answer of a server that is an error.
func refused(err error) bool {
	_, ok := rueidis.IsRedisErr(err)
	return ok
}

// dial connects with the first credentials that are accepted, and returns them.
func (l *lineage) dial(address string, logins []login, database int) (c rueidis.Client, accepted login, err error) {
	for _, accepted = range logins {
		options := rueidis.ClientOption{
			InitAddress: []string{address}, Username: accepted.user, Password: accepted.password, SelectDB: database,
			TLSConfig: l.tls, ClientName: "trellis-plane-check", ConnWriteTimeout: engineIOTimeout,
			ForceSingleClient: true, DisableCache: true, DisableRetry: true, RingScaleEachConn: 6,
		}
		options.Dialer.Timeout = engineConnectTimeout
		if c, err = rueidis.NewClient(options); err == nil || !wrongPassword(err) {
			break
		}
	}
	return c, accepted, err
}

// wrongPassword is true for an answer that other credentials may change.
func wrongPassword(err error) bool {
	answer, ok := rueidis.IsRedisErr(err)
	return ok && (strings.HasPrefix(answer.Error(), "WRONGPASS") || strings.HasPrefix(answer.Error(), "NOAUTH") ||
		strings.HasPrefix(answer.Error(), "ERR invalid password"))
}

// follow brings the mark to what is true of the server, trying again where another plane was faster.
func (l *lineage) follow(ctx context.Context, c rueidis.Client, t target, info serverInfo) error {
	for {
		before, err := l.read(ctx, c)
		if err != nil {
			return err
		}
		now := mark{Failover: before.Failover, Server: info.replicationID}
		if t.master != "" {
			if failover, ok := l.failover(ctx, t); ok {
				now.Failover = failover
			}
		}
		if before != now {
			reason := breach(before, now, info)
			if reason != "" {
				l.log.Warn("the engine may have lost what it had acknowledged: every room gets a new epoch", "reason", reason, "before", before, "now", now)
				if err := l.renew(ctx, c, now); err != nil {
					return err
				}
			}
			won, err := l.write(ctx, c, before, now, reason != "")
			if err != nil {
				return err
			}
			if !won {
				continue
			}
		}
		l.remember(now)
		return nil
	}
}

// moved is true once the file leads to another server, or to Sentinels instead: the library's
// connections can not be turned there.
func (l *lineage) moved() bool {
	now, err := l.target()
	return err == nil && (now.address != l.began.address || now.master != l.began.master)
}

func (l *lineage) remember(now mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != now && l.seen != (mark{}) {
		l.changes.Add(1)
	}
	l.seen = now
}

// breach says why writes that were acknowledged may be missing; empty where none can be. A mark
// that is missing comes first of all writes, so that none of them can be missing behind it.
func breach(before, now mark, info serverInfo) string {
	switch {
	case before == (mark{}):
		return ""
	case before.Failover != "" && before.Failover != now.Failover:
		return "fail-over"
	case before.Server == now.Server:
		return ""
	case info.promoted:
		return "promotion"
	case !info.synced:
		return "a restart without appendfsync always"
	}
	return ""
}

// serverInfo is what a server says of itself.
type serverInfo struct {
	mode, role, replicationID string
	// promoted is true when the server was a replica since it started.
	promoted bool
	// synced is true when nothing is acknowledged before it is on disk.
	synced bool
}

func readInfo(ctx context.Context, c rueidis.Client) (serverInfo, error) {
	text, err := c.Do(ctx, c.B().Info().Build()).ToString()
	if err != nil {
		return serverInfo{}, fmt.Errorf("ask what it is: %w", err)
	}
	fields, err := infoFields(text)
	if err != nil {
		return serverInfo{}, err
	}
	out := serverInfo{
		mode: fields["redis_mode"], role: fields["role"], replicationID: fields["master_replid"],
		promoted: strings.Trim(fields["master_replid2"], "0") != "",
	}
	if out.mode == "" {
		out.mode = fields["server_mode"]
	}
	if fields["aof_enabled"] == "1" {
		// Not everybody may ask; then it is not known, and so not relied on.
		setting, err := c.Do(ctx, c.B().ConfigGet().Parameter("appendfsync").Build()).AsStrMap()
		out.synced = err == nil && setting["appendfsync"] == "always"
	}
	return out, nil
}

// infoFields reads the answer to INFO. That of a server which still loads its
// file is an error: meanwhile it says that it writes none.
func infoFields(text string) (map[string]string, error) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	if fields["loading"] == "1" || fields["async_loading"] == "1" {
		return nil, errors.New("it is still loading its data")
	}
	return fields, nil
}

// failover is the number of the newest fail-over that a Sentinel knows. Where none answers, the
// replication id alone must tell.
func (l *lineage) failover(ctx context.Context, t target) (string, bool) {
	states := make([]map[string]string, len(t.addresses))
	var asking sync.WaitGroup
	for i, address := range t.addresses {
		asking.Go(func() { states[i] = l.askSentinel(ctx, t, address) })
	}
	asking.Wait()
	newest, answered := int64(0), false
	for _, state := range states {
		if epoch, err := strconv.ParseInt(state["config-epoch"], 10, 64); err == nil {
			newest, answered = max(newest, epoch), true
		}
	}
	return strconv.FormatInt(newest, 10), answered
}

// askSentinel returns nil where the Sentinel does not answer.
func (l *lineage) askSentinel(ctx context.Context, t target, address string) map[string]string {
	c, _, err := l.dial(address, t.sentinels, 0)
	if err != nil {
		return nil
	}
	defer c.Close()
	state, err := c.Do(ctx, c.B().Arbitrary("SENTINEL", "MASTER", t.master).Build()).AsStrMap()
	if err != nil {
		l.log.Debug("a Sentinel does not answer", "address", address, "error", err)
	}
	return state
}
