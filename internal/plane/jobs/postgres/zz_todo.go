package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/jobs"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

func (s *Store) List(ctx context.Context, f pub.Filter, cursor string, limit int) (pub.Page, error) {
	return pub.Page{}, errors.ErrUnsupported
}
func (s *Store) Cancel(ctx context.Context, now time.Time, id string) (pub.Job, error) {
	return pub.Job{}, errors.ErrUnsupported
}
func (s *Store) Retry(ctx context.Context, now time.Time, id string) (pub.Job, error) {
	return pub.Job{}, errors.ErrUnsupported
}
func (s *Store) Delete(ctx context.Context, id string) error { return errors.ErrUnsupported }
func (s *Store) Redrive(ctx context.Context, now time.Time, r pub.RedriveRequest) (int, error) {
	return 0, errors.ErrUnsupported
}
func (s *Store) Stats(ctx context.Context, now time.Time) (pub.Stats, error) {
	return pub.Stats{}, errors.ErrUnsupported
}
func (s *Store) SetPaused(ctx context.Context, paused bool) error { return errors.ErrUnsupported }
func (s *Store) Sweep(ctx context.Context, now time.Time) (next time.Time, err error) {
	return time.Time{}, errors.ErrUnsupported
}
func (s *Store) Events(ctx context.Context, now time.Time, sink string, max int, ttl time.Duration) ([]jobs.Event, error) {
	return nil, errors.ErrUnsupported
}
func (s *Store) Sent(ctx context.Context, sink string, ids []string) error {
	return errors.ErrUnsupported
}
func (s *Store) Schedule(ctx context.Context, name string) (fired time.Time, job string, err error) {
	return time.Time{}, "", errors.ErrUnsupported
}
func (s *Store) Fire(ctx context.Context, now time.Time, name string, last, at time.Time, job *jobs.NewJob) (bool, error) {
	return false, errors.ErrUnsupported
}
