package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// MaxSchema is what is left of the 63 bytes of an identifier by the name of the channel of notifications.
const MaxSchema = 50

var (
	plainSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	others      = regexp.MustCompile(`[^a-z0-9_]+`)
)

// SchemaOf is an identifier that needs no quotes. What a prefix of the configuration holds and that may not, or that is too
// long, is made up for by a digest, so that two prefixes stay two. Without a prefix it is fallback.
func SchemaOf(e planeconfig.Engine, fallback string) (string, error) {
	whole := e.Prefix
	if e.PrefixFile != "" {
		instance, err := os.ReadFile(e.PrefixFile)
		if err != nil {
			return "", fmt.Errorf("read what this object is told by from others of its name: %w", err)
		}
		whole += strings.TrimSpace(string(instance))
	}
	if whole == "" {
		whole = fallback
	}
	// PostgreSQL keeps names that begin with pg_ for itself.
	if plainSchema.MatchString(whole) && len(whole) <= MaxSchema && !strings.HasPrefix(whole, "pg_") {
		return whole, nil
	}
	sum := sha256.Sum256([]byte(whole))
	digest := hex.EncodeToString(sum[:8])
	plain := "trellis_" + strings.Trim(others.ReplaceAllString(strings.TrimPrefix(strings.ToLower(whole), "trellis"), "_"), "_")
	return strings.TrimRight(plain[:min(len(plain), MaxSchema-1-len(digest))], "_") + "_" + digest, nil
}
