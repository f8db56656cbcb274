package planeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Encode renders c as indented JSON; equal configurations give equal bytes.
func Encode(c Config) ([]byte, error) {
	out, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode plane configuration: %w", err)
	}
	return append(out, '\n'), nil
}

// Decode reads a configuration and checks it. A field that is not known is left
// out, as an operator may be newer than the planes that it writes for; UnknownField
// names it.
func Decode(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("decode plane configuration: %w", err)
	}
	c.setDefaults()
	return c, c.Validate()
}

// UnknownField says which field of a configuration Decode left out, if any.
func UnknownField(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var c Config
	return dec.Decode(&c)
}

// Load reads and decodes the file at path. unknown is what UnknownField says of it.
func Load(path string) (c Config, unknown, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("read plane configuration: %w", err)
	}
	if c, err = Decode(data); err != nil {
		return Config{}, nil, err
	}
	return c, UnknownField(data), nil
}

func (c *Config) setDefaults() {
	if c.HTTP.Address == "" {
		c.HTTP.Address = fmt.Sprintf(":%d", PortHTTP)
	}
	if c.HTTP.AdminAddress == "" {
		c.HTTP.AdminAddress = fmt.Sprintf(":%d", PortAdmin)
	}
	if c.Auth.PreviousTokenFile == "" {
		c.Auth.PreviousTokenFile = filepath.Join(filepath.Dir(c.Auth.TokenFile), KeyPreviousToken)
	}
	if c.Auth.PreviousSigningKeyFile == "" {
		c.Auth.PreviousSigningKeyFile = filepath.Join(filepath.Dir(c.Auth.SigningKeyFile), KeyPreviousSigningKey)
	}
	if c.Auth.WorkerTokenFile != "" && c.Auth.PreviousWorkerTokenFile == "" {
		c.Auth.PreviousWorkerTokenFile = filepath.Join(filepath.Dir(c.Auth.WorkerTokenFile), KeyPreviousWorkerToken)
	}
	if c.Realtime != nil && c.Realtime.Stateful != nil {
		c.Realtime.Stateful.setDefaults()
	}
	if c.Shards != nil {
		c.Shards.setDefaults()
	}
	if c.HTTP.MaxBodyBytes == 0 {
		c.HTTP.MaxBodyBytes = 1 << 20
	}
	if c.HTTP.MaxBodyBytesInFlight == 0 {
		c.HTTP.MaxBodyBytesInFlight = 64 << 20
	}
	c.HTTP.MaxBodyBytesInFlight = max(c.HTTP.MaxBodyBytesInFlight, c.HTTP.MaxBodyBytes)
	if c.Shards != nil {
		// One that has the key in it is to fit, and the byte that says that it would go on.
		c.HTTP.MaxBodyBytesInFlight = max(c.HTTP.MaxBodyBytesInFlight, c.Shards.Key.MaxBodyBytes+1)
	}
	if c.HTTP.MaxInFlight == 0 {
		c.HTTP.MaxInFlight = 1024
	}
}

func (s *Stateful) setDefaults() {
	if s.Address == "" {
		s.Address = fmt.Sprintf(":%d", PortPeers)
	}
	if s.Partitions == 0 {
		s.Partitions = defaultPartitions
	}
	if s.TokenFile != "" && s.PreviousTokenFile == "" {
		s.PreviousTokenFile = filepath.Join(filepath.Dir(s.TokenFile), KeyPreviousPeerToken)
	}
}

// defaultPartitions of rooms among replicas.
const defaultPartitions = 1024

// Validate reports every setting that a plane could not start with.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Kind != "", "kind must be set")
	need(c.Auth.TokenFile != "", "auth.tokenFile must be set")
	need(c.Auth.SigningKeyFile != "", "auth.signingKeyFile must be set")
	need(c.Engine.Type != "" || c.Shards != nil, "engine.type must be set")
	need(c.Engine.Type == "Memory" || c.Engine.URIFile != "" || c.Shards != nil, "engine.uriFile must be set for engine %q", c.Engine.Type)
	need(c.Jobs == nil || c.Auth.Anonymous == nil, "auth.anonymous is of no use to a JobQueue: nobody uses one without a token")
	if r := c.Realtime; r != nil {
		need(len(r.Protocols) > 0, "realtime.protocols must name at least one")
		need(r.History.Size > 0 && r.History.TTL > 0, "realtime.history needs a size and a ttl above 0")
		need(r.Limits.MessageBytes > 0, "realtime.limits.messageBytes must be above 0")
		need(r.Stateful == nil || c.Engine.Type != "Memory", "realtime.stateful needs an engine: Memory has one replica, which owns every room")
		need(r.Stateful == nil || r.Stateful.TokenFile != "", "realtime.stateful.tokenFile must be set")
	}
	if c.Shards != nil {
		errs = append(errs, c.Shards.validate()...)
	}
	return errors.Join(errs...)
}
