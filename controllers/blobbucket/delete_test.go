package blobbucket

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/planes"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// annotated repeats a name, as a deletion of files needs.
func annotated(name string, mutate ...func(*spec)) *v1alpha1.BlobBucket {
	b := makeBucket(mutate...)
	b.Annotations = map[string]string{v1alpha1.AnnotationDeleteFiles: name}
	return b
}

func remove(s *spec) { s.DeletionPolicy = v1alpha1.DeletionDelete }

func TestFilesAreKeptUnlessTheirNameIsRepeated(t *testing.T) {
	for name, b := range map[string]*v1alpha1.BlobBucket{
		"no annotation": makeBucket(remove), "another name": annotated("other", remove), "no name": annotated("", remove), "true": annotated("true", remove),
	} {
		if !keeps(b) {
			t.Errorf("%s: the files go", name)
		}
	}
	if keeps(annotated("media")) {
		t.Error("the files stay although their name is repeated")
	}
}

func TestDrainTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		b      *v1alpha1.BlobBucket
		policy v1alpha1.DeletionPolicy
		want   time.Duration
	}{
		"they go":              {makeBucket(), v1alpha1.DeletionDelete, 24 * time.Hour},
		"they stay":            {makeBucket(), v1alpha1.DeletionRetain, 0},
		"no plane to empty it": {makeBucket(suspended), v1alpha1.DeletionDelete, 0},
	} {
		if got := drain().Timeout(c.b, c.policy); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAnnounce(t *testing.T) {
	b := makeBucket(full)
	config, _, err := planes.Texts(planeConfig(b, inputs()))
	if err != nil {
		t.Fatal(err)
	}
	once, err := announce(b, v1alpha1.DeletionDelete, planeconfig.FileName, config)
	if err != nil {
		t.Fatal(err)
	}
	want := decoded(t, b, inputs())
	want.Blobs.Emptying = true
	got, err := planeconfig.Decode([]byte(once))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if twice, err := announce(b, v1alpha1.DeletionDelete, planeconfig.FileName, once); err != nil || twice != once {
		t.Errorf("announced again it is another text: %v\n%s", err, cmp.Diff(once, twice))
	}
	// What stays is not emptied, nor is any other file touched.
	for _, c := range []struct {
		policy v1alpha1.DeletionPolicy
		file   string
	}{{v1alpha1.DeletionRetain, planeconfig.FileName}, {v1alpha1.DeletionDelete, "other.json"}} {
		if got, err := announce(b, c.policy, c.file, config); err != nil || got != config {
			t.Errorf("%s %s becomes %s, %v", c.policy, c.file, got, err)
		}
	}
	// What a newer operator wrote stays.
	newer := strings.Replace(config, `"blobs": {`, `"blobs": {"later": 1,`, 1)
	if got, err := announce(b, v1alpha1.DeletionDelete, planeconfig.FileName, newer); err != nil || !strings.Contains(got, `"later"`) {
		t.Errorf("a field that is not known is lost: %v", err)
	}
}

func TestLeft(t *testing.T) {
	told := func(emptying, objects float64) map[scaling.Gauge]float64 {
		return map[scaling.Gauge]float64{isEmptying: emptying, remaining: objects}
	}
	stuck := told(1, 3)
	stuck[locked] = 3
	some := told(1, 3)
	some[locked] = 2
	pods := func(silent int, all ...map[scaling.Gauge]float64) pattern.Counts {
		return pattern.Counts{Pods: all, Silent: silent}
	}
	const silence = "the plane does not say how many objects there are left"
	for name, c := range map[string]struct {
		policy v1alpha1.DeletionPolicy
		counts pattern.Counts
		ok     bool
		want   string
	}{
		"they stay":             {v1alpha1.DeletionRetain, pods(1), true, ""},
		"nobody is there":       {v1alpha1.DeletionDelete, pods(0), false, silence},
		"nobody answers":        {v1alpha1.DeletionDelete, pods(1), false, silence},
		"one of two answers":    {v1alpha1.DeletionDelete, pods(1, told(1, 0)), false, silence},
		"one takes uploads yet": {v1alpha1.DeletionDelete, pods(0, told(1, 0), told(0, 0)), false, "the plane is told to empty the bucket"},
		"one lags behind":       {v1alpha1.DeletionDelete, pods(0, told(1, 0), told(1, 1)), false, "the bucket is being emptied"},
		"some are locked":       {v1alpha1.DeletionDelete, pods(0, some), false, "the bucket is being emptied"},
		"all are locked": {v1alpha1.DeletionDelete, pods(0, stuck), false, "3 versions are locked, and the store keeps them: " +
			"wait until their time is over, or leave them by the annotation patterns.trellis.dev/skip-drain=true"},
		"nothing": {v1alpha1.DeletionDelete, pods(0, told(1, 0), told(1, 0)), true, "the bucket is being emptied"},
	} {
		got := left(makeBucket(), c.policy, c.counts)
		want := pattern.Verdict{OK: c.ok, Reason: v1alpha1.ReasonDraining, Message: c.want}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestImpact(t *testing.T) {
	const (
		kept   = "all files, at 2026-01-02T03:04:05Z about 120 uploaded of 5000 bytes, and 3 pending (GET /v1/stats counts those of now)"
		ledger = "the ledger of the files"
		nobody = "the ledger of the files, which nobody finds any more; docs/patterns/blobbucket.md, Deleting a bucket, says how to drop it"
		unsaid = ": they are kept although deletionPolicy is Delete, as the annotation patterns.trellis.dev/delete-files does not repeat the name \"media\""
	)
	own := inputs()
	own.Engine.Dedicated, own.Others[0].Dedicated = true, true
	engines := func(store, ledger v1alpha1.DeletionPolicy, details ...string) []v1alpha1.DeletionImpact {
		return []v1alpha1.DeletionImpact{{Kind: "Engine", Name: "c-s3", Policy: store, Detail: details[0]}, {Kind: "Engine", Name: "c-pgsql", Policy: ledger, Detail: details[1]}}
	}
	for name, c := range map[string]struct {
		b    *v1alpha1.BlobBucket
		in   pattern.Inputs
		want []v1alpha1.DeletionImpact
	}{
		"they stay":             {makeBucket(), inputs(), engines("Retain", "Retain", kept+": a BlobBucket of the same name goes on with them", ledger)},
		"said but once":         {makeBucket(remove), inputs(), engines("Retain", "Retain", kept+unsaid, ledger)},
		"said twice, shared":    {annotated("media", remove), inputs(), engines("Delete", "Retain", kept, nobody)},
		"said twice, dedicated": {annotated("media", remove), own, engines("Delete", "Delete", kept, ledger)},
		"annotated alone":       {annotated("media"), own, engines("Retain", "Retain", kept+": a BlobBucket of the same name goes on with them", ledger)},
	} {
		c.b.Status.Files = &v1alpha1.BlobCountsStatus{Pending: 3, Uploaded: 120, Bytes: 5000, CountedAt: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
		got := impact(c.b, c.in)
		if diff := cmp.Diff(c.want, got[2:]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, secret := range got[:2] {
			if secret.Kind != "Secret" || secret.Policy != c.want[0].Policy {
				t.Errorf("%s: %+v", name, secret)
			}
		}
	}
}
