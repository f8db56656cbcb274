package realtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/trellis-dev/trellis/internal/plane/realtime/stateful"
)

const (
	// scanCount is about how many keys one step of a scan looks at.
	scanCount = 1000
	// roomKeys comes between the prefix and the name of a room; the library keeps epoch and top
	// offset there, in the fields e and s.
	roomKeys = ".stream.meta."
)

// renewScript gives rooms a new epoch, each once a mark: a room that was done bears it. The epoch
// is made from the old one, so that it makes no difference which plane does it.
var renewScript = rueidis.NewLuaScript(`
for _, room in ipairs(KEYS) do
  local old = redis.call('hmget', room, 'e', 'lineage')
  if old[1] and old[2] ~= ARGV[1] then
    redis.call('hset', room, 'e', string.sub(redis.sha1hex(old[1] .. ARGV[1]), 1, 8), 'lineage', ARGV[1])
  end
end
return redis.status_reply('OK')`)

// markScript writes a mark unless somebody else has. Where writes may be missing, it ends every ownership of rooms with it:
// what their owners have in memory is not what the engine has.
var markScript = rueidis.NewLuaScript(`
local old = redis.call('hmget', KEYS[1], 'failover', 'server')
if (old[1] or '') ~= ARGV[1] or (old[2] or '') ~= ARGV[2] then
  return 0
end
if ARGV[5] == '1' then
  redis.call('del', KEYS[2])
end
redis.call('hset', KEYS[1], 'failover', ARGV[3], 'server', ARGV[4])
return 1`)

func (l *lineage) key() string { return l.prefix + ".lineage" }

func (l *lineage) read(ctx context.Context, c rueidis.Client) (mark, error) {
	fields, err := c.Do(ctx, c.B().Hgetall().Key(l.key()).Build()).AsStrMap()
	if err != nil {
		return mark{}, fmt.Errorf("read whose writes the rooms continue: %w", err)
	}
	return mark{Failover: fields["failover"], Server: fields["server"]}, nil
}

// write replaces the mark, and reports false where it was no longer before. breached says that writes may be missing.
func (l *lineage) write(ctx context.Context, c rueidis.Client, before, now mark, breached bool) (bool, error) {
	ends := "0"
	if breached {
		ends = "1"
	}
	keys := []string{l.key(), stateful.RingKey(l.prefix)}
	won, err := markScript.Exec(ctx, c, keys, []string{before.Failover, before.Server, now.Failover, now.Server, ends}).AsInt64()
	if err != nil {
		return false, fmt.Errorf("write whose writes the rooms continue: %w", err)
	}
	return won == 1, nil
}

// renew gives every room a new epoch.
func (l *lineage) renew(ctx context.Context, c rueidis.Client, now mark) error {
	pattern := escapeGlob(l.prefix+roomKeys) + "*"
	for cursor := uint64(0); ; {
		step, err := c.Do(ctx, c.B().Scan().Cursor(cursor).Match(pattern).Count(scanCount).Build()).AsScanEntry()
		if err != nil {
			return fmt.Errorf("list the rooms: %w", err)
		}
		if len(step.Elements) > 0 {
			if err := renewScript.Exec(ctx, c, step.Elements, []string{now.Failover + " " + now.Server}).Error(); err != nil {
				return fmt.Errorf("give the rooms a new epoch: %w", err)
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			return nil
		}
	}
}

// escapeGlob makes a text match itself alone in a pattern of SCAN.
func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}
