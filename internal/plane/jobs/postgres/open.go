package postgres

import (
	"embed"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	engine "github.com/trellis-dev/trellis/internal/plane/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// connectionSettings of every connection. Plans are made once and without regard to statistics, which are always behind in
// tables that fill and empty within seconds: each statement has one good way, by its index.
var connectionSettings = map[string]string{
	"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s",
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off",
	"enable_mergejoin": "off", "enable_sort": "off", "jit": "off", "TimeZone": "UTC",
}

// Open is the queue of a plane's configuration.
func Open(e jobs.Env) (jobs.Store, error) {
	schema, err := engine.SchemaOf(e.Config.Engine, "trellis_jobs")
	if err != nil {
		return nil, err
	}
	return New(Config{Engine: e.Config.Engine, Schema: schema, Log: e.Log}, e.Settings)
}
