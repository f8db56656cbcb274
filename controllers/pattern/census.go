package pattern

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// censusEvery is how often an object whose spec does not change is counted: its status is written no more often for that.
const censusEvery = 5 * time.Minute

// Census counts what an object holds, by what its pods tell. It writes nothing but the object's status, and reads no API.
type Census[T v1alpha1.Pattern] struct {
	// Gauges that the pods which do not stop first tell, each the whole object's.
	Gauges []scaling.Gauge
	// Note sets the fields of obj.Status that only this kind has. Unless asked is true, as the spec changed, it leaves what is
	// there where that is not wrong by much.
	Note func(obj T, counts Counts, now metav1.Time, asked bool)
}

// takeCensus counts where the last count is old, or the spec changed. A pod that does not answer is as none.
func (r *Reconciler) takeCensus(ctx context.Context, s *scope) error {
	gauges := r.kind.census()
	if len(gauges) == 0 {
		return nil
	}
	s.again = censusEvery
	key := client.ObjectKeyFromObject(s.obj)
	asked := s.before.GetPatternStatus().ObservedGeneration != s.obj.GetGeneration()
	if last, ok := r.counted.Load(key); ok && !asked {
		if left := censusEvery - s.now.Sub(last.(time.Time)); left > 0 {
			s.again = left
			return nil
		}
	}
	pods, err := r.pods(ctx, r.client, s)
	if err != nil {
		return err
	}
	for i := range pods {
		if c := r.counts(ctx, pods[i:i+1], gauges); len(c.Pods) > 0 {
			r.counted.Store(key, s.now.Time)
			r.kind.note(s.obj, c, s.now, asked)
			return nil
		}
	}
	return nil
}

func (d Definition[T]) census() []scaling.Gauge {
	if d.Census == nil {
		return nil
	}
	return d.Census.Gauges
}

func (d Definition[T]) note(obj v1alpha1.Pattern, c Counts, now metav1.Time, asked bool) {
	d.Census.Note(obj.(T), c, now, asked)
}

// Rounded to two digits, as counts are told that move all the time.
func Rounded(n float64) int64 {
	out, unit := int64(n), int64(1)
	for out/unit >= 100 {
		unit *= 10
	}
	return (out + unit/2) / unit * unit
}

// IsFarFrom is true where one number is by a quarter of it more or less than another, or one of them is none.
func IsFarFrom(a, b int64) bool {
	least, most := min(a, b), max(a, b)
	return most-least > most/4 && most != least
}
