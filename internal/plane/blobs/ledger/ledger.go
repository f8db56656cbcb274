package ledger

import (
	"context"
	"embed"
	"log/slog"
	"sync/atomic"

	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/postgres"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config says where a ledger is kept.
type Config struct {
	// Engine whose files are read again for each new connection.
	Engine planeconfig.Engine
	// Schema that everything lies in. It is made where it does not exist.
	Schema string
	// Connections is the most that this process opens; 8 by default.
	Connections int
	Log         *slog.Logger
}

// Ledger implements blobs.Ledger.
type Ledger struct {
	db       *postgres.Database
	settings atomic.Pointer[plane.LedgerSettings]
}

var _ plane.Ledger = (*Ledger)(nil)

// connectionSettings of every connection: no statement and no lock may hold others up for long.
var connectionSettings = map[string]string{
	"statement_timeout": "8s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s", "jit": "off", "TimeZone": "UTC",
}

// New returns a ledger that is connected by Run. It fails for a configuration that can not be read.
func New(c Config, s plane.LedgerSettings) (*Ledger, error) {
	if c.Connections <= 0 {
		c.Connections = 8
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	target := &postgres.Target{Engine: c.Engine, Schema: c.Schema, Settings: connectionSettings}
	db, err := postgres.NewDatabase(target, "blobs", migrations, c.Connections, c.Log)
	if err != nil {
		return nil, err
	}
	l := &Ledger{db: db}
	l.Reconfigure(s)
	return l, nil
}

// Reconfigure implements blobs.Ledger.
func (l *Ledger) Reconfigure(s plane.LedgerSettings) { l.settings.Store(&s) }

// Run implements blobs.Ledger.
func (l *Ledger) Run(ctx context.Context) error {
	l.db.Run(ctx)
	return nil
}
