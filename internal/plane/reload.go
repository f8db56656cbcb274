package plane

import (
	"bytes"
	"context"
	"os"
	"time"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// reloadPoll is how often what is mounted is read again. Polling follows the
// kubelet's swap of a symlink where a watch on the file would not.
const reloadPoll = 5 * time.Second

// OnReload has apply called with a configuration that was read again. Only what
// planeconfig.Config.Fixed leaves out is to be taken from it. It is to be called
// before the plane serves.
func (p *Plane) OnReload(apply func(planeconfig.Config)) { p.onReload = append(p.onReload, apply) }

// WatchSecret has s read again as its file changes. It is to be called before the plane serves.
func (p *Plane) WatchSecret(s *Secret) { p.auth.watched = append(p.auth.watched, s) }

// watchFiles reads secrets and configuration again until ctx ends.
func (p *Plane) watchFiles(ctx context.Context) {
	tick := time.NewTicker(reloadPoll)
	defer tick.Stop()
	config := p.configFile
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		reloadSecrets(p.Log, append(p.auth.secrets(), p.secrets.all()...)...)
		config.reload(p)
	}
}

// configFile is the file that a plane was configured from.
type configFile struct {
	path string
	seen []byte
}

// reload applies the file if it changed. What is wrong with it is told once.
func (f *configFile) reload(p *Plane) {
	if f.path == "" {
		return
	}
	data, err := os.ReadFile(f.path)
	if err != nil || bytes.Equal(data, f.seen) {
		// A file that is gone for a moment is being swapped.
		return
	}
	first := f.seen == nil
	f.seen = data
	if first && startedWith(p.Config, data) {
		return
	}
	if err := p.reload(data); err != nil {
		p.Metrics.Reloads.WithLabelValues("refused").Inc()
		p.Log.Error("the configuration changed and cannot be used; the one before stays", "path", f.path, "error", err)
		return
	}
	p.Metrics.Reloads.WithLabelValues("applied").Inc()
}

// startedWith reports whether data is what the plane started with: it may have
// been swapped before it was first read again.
func startedWith(c planeconfig.Config, data []byte) bool {
	read, err := planeconfig.Decode(data)
	if err != nil {
		return false
	}
	one, errOne := planeconfig.Encode(read)
	two, errTwo := planeconfig.Encode(c)
	return errOne == nil && errTwo == nil && bytes.Equal(one, two)
}

// reload applies what of a configuration can change while the plane runs.
func (p *Plane) reload(data []byte) error {
	c, err := planeconfig.Decode(data)
	if err != nil {
		return err
	}
	if err := p.auth.Apply(c.Auth); err != nil {
		return err
	}
	if unknown := planeconfig.UnknownField(data); unknown != nil {
		p.Log.Warn("the configuration has a field that this version does not know; it is left out", "error", unknown)
	}
	p.Origins.Set(c.HTTP.AllowedOrigins)
	for _, apply := range p.onReload {
		apply(c)
	}
	if !planeconfig.SameFixed(c, p.Config) {
		p.Log.Info("the configuration changed in what is read at the start only; that waits for the next start")
		return nil
	}
	p.Log.Info("the configuration was read again")
	return nil
}
