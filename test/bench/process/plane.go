package process

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Token is that of the binding of a plane.
const Token = "binding-token-of-the-benchmark"

// Plane is a plane to be measured.
type Plane struct {
	// Program is test/bench/server, and Arguments choose its contract.
	Program   string
	Arguments []string
	// Config is what the contract's own part of the configuration says, and the type of the engine.
	Config planeconfig.Config
	// URI leads to the engine; empty for one in memory.
	URI string
}

// Start puts the plane's files into dir and has it serve, from there, at the address that is returned. A child that
// started is returned with the error, and to be stopped.
func (p Plane) Start(ctx context.Context, log io.Writer, dir string) (*Child, string, error) {
	addresses, err := FreeAddresses(2)
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, planeconfig.FileName)
	if err := p.write(dir, file, addresses[0], addresses[1]); err != nil {
		return nil, "", fmt.Errorf("write the plane's files: %w", err)
	}
	child, err := Start(log, "plane", p.Program, append(p.Arguments, "-config", file)...)
	if err != nil {
		return nil, "", err
	}
	return child, addresses[0], AwaitServing(ctx, "http://"+addresses[1]+"/readyz")
}

func (p Plane) write(dir, file, address, admin string) error {
	cfg := p.Config
	cfg.Namespace = "bench"
	cfg.HTTP = planeconfig.HTTP{Address: address, AdminAddress: admin, MaxBodyBytes: 1 << 20, MaxInFlight: 1024}
	cfg.Auth = planeconfig.Auth{TokenFile: filepath.Join(dir, "token"), SigningKeyFile: filepath.Join(dir, "key")}
	cfg.Drain = planeconfig.Drain{Timeout: planeconfig.Duration(time.Second)}
	files := map[string]string{cfg.Auth.TokenFile: Token, cfg.Auth.SigningKeyFile: "signing-key-of-the-benchmark-0123456789"}
	if cfg.Jobs != nil {
		cfg.Auth.WorkerTokenFile = filepath.Join(dir, "workerToken")
		files[cfg.Auth.WorkerTokenFile] = "worker-" + Token
	}
	if p.URI != "" {
		cfg.Engine.URIFile = filepath.Join(dir, "uri")
		files[cfg.Engine.URIFile] = p.URI
	}
	config, err := planeconfig.Encode(cfg)
	if err != nil {
		return err
	}
	files[file] = string(config)
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
