package natsstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/trellis-dev/trellis/internal/plane/account"
	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Open is the queue of a plane's configuration, on the engine whose Secret is mounted beside its uriFile.
func Open(e plane.Env) (plane.Store, error) {
	prefix, err := prefixOf(e.Config.Engine)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(e.Config.Engine.URIFile)
	return New(Config{
		Connect: func() (string, []nats.Option, error) { return account.NATSConnection(dir) },
		Prefix:  prefix, Clock: e.Clock, Log: e.Log,
	}, e.Settings)
}

var others = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// prefixOf the streams' names, which may hold less than a prefix of the configuration: what is left out or too long is
// made up for by a digest, so that two prefixes stay two.
func prefixOf(e planeconfig.Engine) (string, error) {
	whole := e.Prefix
	if e.PrefixFile != "" {
		instance, err := os.ReadFile(e.PrefixFile)
		if err != nil {
			return "", fmt.Errorf("read what the queue is told by from others of its name: %w", err)
		}
		whole += strings.TrimSpace(string(instance))
	}
	if whole == "" {
		whole = "jobs"
	}
	if prefixes.MatchString(whole) {
		return whole, nil
	}
	sum := sha256.Sum256([]byte(whole))
	plain := strings.Trim(others.ReplaceAllString(whole, "-"), "-")
	return strings.Trim(plain[:min(len(plain), 47)], "-") + "-" + hex.EncodeToString(sum[:8]), nil
}
