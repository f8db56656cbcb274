package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/trellis-dev/trellis/internal/enginetest"
	plane "github.com/trellis-dev/trellis/internal/plane/blobs"
	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// open a ledger on a schema of one server; it ends with the test.
func open(t testing.TB, uri, schema string, s plane.LedgerSettings) *ledger.Ledger {
	t.Helper()
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte(uri+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.New(ledger.Config{Engine: planeconfig.Engine{Type: "PostgreSQL", URIFile: file}, Schema: schema}, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = l.Run(ctx) })
	t.Cleanup(func() { cancel(); work.Wait() })
	return l
}

func newFile(mutate ...func(*plane.NewFile)) plane.NewFile {
	expires := epoch.Add(time.Hour)
	id := uuid.Must(uuid.NewV7()).String()
	n := plane.NewFile{File: blobs.File{
		ID: id, Key: "in/" + id, Filename: "a.txt", ContentType: "text/plain", Size: 10, Owner: "ann", ExpiresAt: &expires,
		Checksum: &blobs.Checksum{Algorithm: blobs.SHA256, Value: "x"}, Metadata: map[string]string{"k": "v"},
	}}
	for _, m := range mutate {
		m(&n)
	}
	return n
}

func begin(t testing.TB, l *ledger.Ledger, mutate ...func(*plane.NewFile)) plane.Entry {
	t.Helper()
	e, _, err := l.Begin(t.Context(), epoch, newFile(mutate...), plane.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestLedger(t *testing.T) {
	t.Parallel()
	uri, _ := enginetest.Postgres(t)
	for name, test := range map[string]func(*testing.T, func(plane.LedgerSettings) *ledger.Ledger){
		"ALife": aLife, "Again": again, "Bounds": bounds, "AgainUnderAKey": underAKey, "LateIsNotLost": late, "AMove": aMove, "Lists": lists,
		"Events": events, "WorkIsShared": shared, "SumsHold": sums,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(s plane.LedgerSettings) *ledger.Ledger { return open(t, uri, "l_"+name, s) })
		})
	}
}

// aLife goes from pending to uploaded to deleted, and its key is known until the object is gone.
func aLife(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	n := newFile()
	e, existing, err := l.Begin(t.Context(), epoch, n, plane.Bounds{})
	if err != nil || existing {
		t.Fatal(existing, err)
	}
	want := plane.Entry{File: n.File, URLsUntil: *n.ExpiresAt}
	want.Status, want.CreatedAt, want.Revision = blobs.StatusPending, epoch, 1
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("begun (-want +got)\n%s", diff)
	}
	later := epoch.Add(time.Minute)
	if e, err = l.Arrived(t.Context(), later, n.ID, plane.Object{ETag: "e", VersionID: "v"}); err != nil {
		t.Fatal(err)
	}
	want.Status, want.Revision, want.ETag, want.VersionID, want.UploadedAt, want.ExpiresAt = blobs.StatusUploaded, 2, "e", "v", &later, nil
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("uploaded (-want +got)\n%s", diff)
	}
	if tasks, err := l.Due(t.Context(), epoch.Add(48*time.Hour), 10, time.Minute); err != nil || len(tasks) != 0 {
		t.Errorf("an uploaded file has work: %v, %v", tasks, err)
	}
	if _, err = l.End(t.Context(), later, n.ID, blobs.StatusDeleted, "asked for", blobs.StatusPending); !errors.Is(err, plane.ErrState) {
		t.Errorf("ended from a status that it has not: %v", err)
	}
	if e, err = l.End(t.Context(), later, n.ID, blobs.StatusDeleted, "asked for", blobs.StatusUploaded); err != nil {
		t.Fatal(err)
	}
	want.Status, want.Revision, want.Reason, want.EndedAt = blobs.StatusDeleted, 3, "asked for", &later
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("deleted (-want +got)\n%s", diff)
	}
	tasks, err := l.Due(t.Context(), later, 10, time.Minute)
	if diff := cmp.Diff([]plane.Task{{Kind: plane.TaskCollect, Key: n.Key, Entry: e, Attempts: 1}}, tasks); diff != "" || err != nil {
		t.Errorf("work (-want +got), %v\n%s", err, diff)
	}
	keys := []plane.KeyEntry{{Key: n.Key, File: n.ID, Status: blobs.StatusDeleted, Collecting: true, Since: later}}
	for _, want := range [][]plane.KeyEntry{keys, nil} {
		if got, err := l.Keys(t.Context(), "", "", "", 10); err != nil || len(got) != len(want) || len(want) > 0 && !cmp.Equal(want, got) {
			t.Errorf("keys are %v, %v, want %v", got, err, want)
		}
		if err := l.Collected(t.Context(), n.Key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Arrived(t.Context(), later, n.ID, plane.Object{}); !errors.Is(err, plane.ErrState) {
		t.Errorf("a deleted file came back: %v", err)
	}
}

// again: each step twice is once.
func again(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{Sinks: map[string][]string{"s": nil}})
	e := begin(t, l, func(n *plane.NewFile) { n.Multipart, n.PartSize = true, 5 })
	for i, offered := range []string{"first", "second"} {
		if id, err := l.SetParts(t.Context(), e.ID, "", offered); err != nil || id != "first" {
			t.Errorf("offer %d: %q, %v", i, id, err)
		}
	}
	for range 2 {
		if got, err := l.Arrived(t.Context(), epoch, e.ID, plane.Object{}); err != nil || got.Revision != 3 {
			t.Errorf("uploaded: revision %d, %v", got.Revision, err)
		}
	}
	for range 2 {
		if got, err := l.End(t.Context(), epoch, e.ID, blobs.StatusDeleted, "", blobs.StatusUploaded); err != nil || got.Revision != 4 {
			t.Errorf("deleted: revision %d, %v", got.Revision, err)
		}
	}
	if got, err := l.Events(t.Context(), epoch, "s", 10, time.Second); err != nil || len(got) != 3 {
		t.Errorf("%d events, %v", len(got), err)
	}
	for _, id := range []string{uuid.NewString(), "no id", ""} {
		if _, err := l.Get(t.Context(), id); !errors.Is(err, plane.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := l.Arrived(t.Context(), epoch, id, plane.Object{}); !errors.Is(err, plane.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// bounds hold though many come at once, and what is refused counts for nothing.
func bounds(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	at := func(now time.Time, owner string, b plane.Bounds) error {
		_, _, err := l.Begin(t.Context(), now, newFile(func(n *plane.NewFile) { n.Owner = owner }), b)
		return err
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	taken := 0
	for range 24 {
		work.Go(func() {
			err := at(epoch, "bob", plane.Bounds{OwnerBytes: 75})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken++
			} else if !errors.Is(err, plane.ErrOwnerBytes) {
				t.Error(err)
			}
		})
	}
	if work.Wait(); taken != 7 {
		t.Errorf("of 75 bytes, %d files of 10 were taken", taken)
	}
	rate := plane.Bounds{OwnerUploads: 2, OwnerWindow: time.Minute}
	for i, step := range []struct {
		at   time.Duration
		want error
	}{{0, nil}, {time.Second, nil}, {2 * time.Second, plane.ErrOwnerRate}, {61 * time.Second, nil}, {-time.Hour, nil}} {
		if err := at(epoch.Add(step.at), "eve", rate); !errors.Is(err, step.want) {
			t.Errorf("upload %d: %v, want %v", i, err, step.want)
		}
	}
	if err := at(epoch, "dan", plane.Bounds{BucketBytes: 115}); !errors.Is(err, plane.ErrQuota) {
		t.Errorf("the bucket's 110 of 115 bytes: %v", err)
	}
	if err := at(epoch, "dan", plane.Bounds{BucketBytes: 120}); err != nil {
		t.Errorf("the bucket's 110 of 120 bytes: %v", err)
	}
}

func underAKey(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	var mu sync.Mutex
	var work sync.WaitGroup
	ids := map[string]int{}
	for range 8 {
		work.Go(func() {
			e, _, err := l.Begin(t.Context(), epoch, newFile(func(n *plane.NewFile) { n.IdempotencyKey, n.Digest = "k", []byte{1} }), plane.Bounds{})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[e.ID]++
		})
	}
	if work.Wait(); len(ids) != 1 {
		t.Errorf("one key made the files %v", ids)
	}
	_, _, err := l.Begin(t.Context(), epoch, newFile(func(n *plane.NewFile) { n.IdempotencyKey, n.Digest = "k", []byte{2} }), plane.Bounds{})
	if !errors.Is(err, plane.ErrKeyReused) {
		t.Errorf("the key for another upload: %v", err)
	}
	if s, err := l.Stats(t.Context()); err != nil || s.Files[blobs.StatusPending] != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// late: what arrives after its time is uploaded all the same, until its key was forgotten.
func late(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	for _, forgotten := range []bool{false, true} {
		e := begin(t, l)
		tasks, err := l.Due(t.Context(), epoch.Add(2*time.Hour), 10, time.Minute)
		if err != nil || len(tasks) != 1 || tasks[0].Kind != plane.TaskExpire {
			t.Fatal(tasks, err)
		}
		if _, err := l.End(t.Context(), epoch.Add(2*time.Hour), e.ID, blobs.StatusExpired, "", blobs.StatusPending); err != nil {
			t.Fatal(err)
		}
		if forgotten {
			if err := l.Collected(t.Context(), e.Key); err != nil {
				t.Fatal(err)
			}
		}
		got, err := l.Arrived(t.Context(), epoch.Add(3*time.Hour), e.ID, plane.Object{})
		if !forgotten && (err != nil || got.Status != blobs.StatusUploaded || got.EndedAt != nil) || forgotten && !errors.Is(err, plane.ErrState) {
			t.Errorf("forgotten %v: %+v, %v", forgotten, got, err)
		}
		// Whoever had the work of before forgets no key that is in use again.
		if err := l.Collected(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
		if keys, err := l.Keys(t.Context(), "", "", "", 10); err != nil || len(keys) != 1 {
			t.Errorf("keys are %v, %v", keys, err)
		}
	}
}

func aMove(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	e := begin(t, l)
	if _, err := l.BeginMove(t.Context(), epoch, e.ID, "out/a"); !errors.Is(err, plane.ErrState) {
		t.Errorf("what is not uploaded was moved: %v", err)
	}
	if _, err := l.Arrived(t.Context(), epoch, e.ID, plane.Object{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := l.BeginMove(t.Context(), epoch, e.ID, "out/a"); err != nil || got.MovingTo != "out/a" || got.Key != e.Key {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if _, err := l.BeginMove(t.Context(), epoch, e.ID, "out/b"); !errors.Is(err, plane.ErrState) {
		t.Errorf("moved to two places: %v", err)
	}
	tasks, err := l.Due(t.Context(), epoch.Add(time.Hour), 10, time.Minute)
	if err != nil || len(tasks) != 1 || tasks[0].Kind != plane.TaskMove || tasks[0].Key != "out/a" {
		t.Errorf("a move that was not ended: %+v, %v", tasks, err)
	}
	for range 2 {
		if got, err := l.EndMove(t.Context(), epoch, e.ID, "out/a", plane.Object{ETag: "n"}); err != nil || got.Key != "out/a" || got.MovingTo != "" || got.ETag != "n" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	found, err := l.Find(t.Context(), []string{"out/a", "none"})
	if err != nil || len(found) != 1 || found[0].ID != e.ID {
		t.Errorf("found %+v, %v", found, err)
	}
	keys, err := l.Keys(t.Context(), "", "", "", 10)
	if err != nil || len(keys) != 2 || keys[0].Key != e.Key || !keys[0].Collecting || keys[1].Collecting {
		t.Errorf("keys are %+v, %v", keys, err)
	}
}

func lists(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	var ids []string
	for i := range 7 {
		ids = append(ids, begin(t, l, func(n *plane.NewFile) { n.Owner = fmt.Sprint("o", i%2); n.Metadata["i"] = fmt.Sprint(i % 3) }).ID)
	}
	slices.Reverse(ids)
	walk := func(f plane.Filter) (got []string) {
		for cursor := ""; ; {
			page, err := l.List(t.Context(), f, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range page.Files {
				got = append(got, file.ID)
			}
			if cursor = page.Cursor; cursor == "" {
				return got
			}
		}
	}
	owner := "o1"
	for name, c := range map[string]struct {
		filter plane.Filter
		want   []string
	}{
		"all":       {plane.Filter{}, ids},
		"an owner":  {plane.Filter{Owner: &owner}, []string{ids[1], ids[3], ids[5]}},
		"metadata":  {plane.Filter{Metadata: map[string]string{"i": "0"}}, []string{ids[0], ids[3], ids[6]}},
		"a prefix":  {plane.Filter{Prefix: "in/" + ids[2]}, ids[2:3]},
		"a status":  {plane.Filter{Status: blobs.StatusUploaded}, nil},
		"no prefix": {plane.Filter{Prefix: "in/%"}, nil},
	} {
		if diff := cmp.Diff(c.want, walk(c.filter)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for _, cursor := range []string{"x", "AAAA", "'"} {
		if _, err := l.List(t.Context(), plane.Filter{}, cursor, 2); !errors.Is(err, plane.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// shared: of many callers each piece of work goes to one.
func shared(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	for range 40 {
		begin(t, l)
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	got := map[string]int{}
	for range 4 {
		work.Go(func() {
			for {
				tasks, err := l.Due(t.Context(), epoch.Add(2*time.Hour), 3, time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, task := range tasks {
					got[task.Key]++
				}
				mu.Unlock()
				if len(tasks) == 0 {
					return
				}
			}
		})
	}
	work.Wait()
	for key, n := range got {
		if n != 1 {
			t.Errorf("%s was handed out %d times", key, n)
		}
	}
	if len(got) != 40 {
		t.Errorf("%d of 40 were handed out", len(got))
	}
}

// sums: whatever is done by several at once, the counts are those of the files, and each live file's key is known.
func sums(t *testing.T, connect func(plane.LedgerSettings) *ledger.Ledger) {
	l := connect(plane.LedgerSettings{})
	var ids []string
	for i := range 6 {
		ids = append(ids, begin(t, l, func(n *plane.NewFile) { n.Size = int64(i + 1) }).ID)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var work sync.WaitGroup
	for worker := range uint64(4) {
		work.Go(func() {
			random := rand.New(rand.NewPCG(seed, worker))
			for i := range 40 {
				id := ids[random.IntN(len(ids))]
				var err error
				switch random.IntN(6) {
				case 0, 1:
					_, err = l.Arrived(t.Context(), epoch, id, plane.Object{})
				case 2:
					_, err = l.End(t.Context(), epoch, id, blobs.StatusExpired, "", blobs.StatusPending, blobs.StatusUploaded)
				case 3:
					_, err = l.BeginMove(t.Context(), epoch, id, fmt.Sprintf("out/%d-%d", worker, i))
				case 4:
					var e plane.Entry
					if e, err = l.Get(t.Context(), id); err == nil && e.MovingTo != "" {
						_, err = l.EndMove(t.Context(), epoch, id, e.MovingTo, plane.Object{})
					}
				case 5:
					if random.IntN(10) == 0 {
						_, err = l.End(t.Context(), epoch, id, blobs.StatusDeleted, "", blobs.StatusPending, blobs.StatusUploaded, blobs.StatusExpired)
					}
				}
				if err != nil && !errors.Is(err, plane.ErrState) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	want := plane.Stats{Files: map[blobs.Status]int64{}, Bytes: map[blobs.Status]int64{}}
	known := map[string]plane.KeyEntry{}
	keys, err := l.Keys(t.Context(), "", "", "", 10000)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		known[k.Key] = k
		if k.Collecting {
			want.Collecting++
		}
	}
	for _, id := range ids {
		e, err := l.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want.Files[e.Status]++
		want.Bytes[e.Status] += e.Size
		if k := known[e.Key]; k.File != id || k.Collecting != e.Status.Gone() {
			t.Errorf("%s is %s, and its key %+v", id, e.Status, k)
		}
	}
	got, err := l.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ignoreNone := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type().String() == "map[blobs.Status]int64" }, cmp.Comparer(func(a, b map[blobs.Status]int64) bool {
		for _, s := range []blobs.Status{blobs.StatusPending, blobs.StatusUploaded, blobs.StatusExpired, blobs.StatusDeleted} {
			if a[s] != b[s] {
				return false
			}
		}
		return true
	}))
	if diff := cmp.Diff(want, got, ignoreNone); diff != "" {
		t.Errorf("counts (-want +got)\n%s", diff)
	}
}
