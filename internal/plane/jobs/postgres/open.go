package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Open is the queue of a plane's configuration.
func Open(e jobs.Env) (jobs.Store, error) {
	schema, err := schemaOf(e.Config.Engine)
	if err != nil {
		return nil, err
	}
	return New(Config{Engine: e.Config.Engine, Schema: schema, Log: e.Log}, e.Settings)
}

// maxSchema is what is left of the 63 bytes of an identifier by the name of the channel of notifications.
const maxSchema = 50

var (
	plainSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	others      = regexp.MustCompile(`[^a-z0-9_]+`)
)

// schemaOf is an identifier that needs no quotes. What a prefix of the configuration holds and that may not, or that is too
// long, is made up for by a digest, so that two prefixes stay two.
func schemaOf(e planeconfig.Engine) (string, error) {
	whole := e.Prefix
	if e.PrefixFile != "" {
		instance, err := os.ReadFile(e.PrefixFile)
		if err != nil {
			return "", fmt.Errorf("read what the queue is told by from others of its name: %w", err)
		}
		whole += strings.TrimSpace(string(instance))
	}
	if whole == "" {
		whole = "trellis_jobs"
	}
	// PostgreSQL keeps names that begin with pg_ for itself.
	if plainSchema.MatchString(whole) && len(whole) <= maxSchema && !strings.HasPrefix(whole, "pg_") {
		return whole, nil
	}
	sum := sha256.Sum256([]byte(whole))
	digest := hex.EncodeToString(sum[:8])
	plain := "trellis_" + strings.Trim(others.ReplaceAllString(strings.TrimPrefix(strings.ToLower(whole), "trellis"), "_"), "_")
	return strings.TrimRight(plain[:min(len(plain), maxSchema-1-len(digest))], "_") + "_" + digest, nil
}
