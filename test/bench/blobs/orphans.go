package blobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/trellis-dev/trellis/internal/plane/blobs/ledger"
	"github.com/trellis-dev/trellis/test/bench/blobs/load"
	"github.com/trellis-dev/trellis/test/bench/harness"
)

const (
	// page is what a store lists by one call.
	page = 1000
	// grace of the comparisons; all that is planted is older.
	grace = time.Hour
	// uploaders at once while orphans are removed.
	uploaders = 4
)

// Goals of design and page.
var (
	asOneList = harness.RatioAtMost(1.5)
	noGrowth  = harness.RatioAtMost(1.2)
)

const aboutOrphans = "A bucket of versitygw as a provisioned Engine has it and a ledger in PostgreSQL, with as many files as there are objects: one object in a hundred is an " +
	"orphan, and one file in a hundred is pending without an object. Keys are those of `in/${owner}/${date}/${id}${ext}`, of ten owners and 400 files a day; objects are empty, written " +
	"into the store's folder beforehand without ETags. *ours* compares both as the plane's schedule does, and reports. Peer: the AWS SDK's paginator over the same keys, which does nothing " +
	"about them. *heap* is by how much the memory that the collector found in use grew at most; in *a tenth of them* its peer is that of all. *removing while 4 clients upload* has " +
	"no grace protect anything: the comparison's clock is past it for every object, and files are begun, sent and completed below the same prefix meanwhile. Store, PostgreSQL and clients share the cores."

const whyList = "the comparison reads the ledger's keys beside the list, a thousand with each page, and PostgreSQL and the store share two cores with it."

const whyHeap = "what a collection finds in use is one to three pages, by the moment at which it comes; of more objects there are more collections, and so the most of them is " +
	"nearer to three pages."

// Orphans is the part about the comparison of a store with its ledger.
func Orphans(p Programs) harness.Part {
	return harness.Part{
		Name: "blobs-orphans", Title: "Blobs: orphans", About: aboutOrphans,
		Run: func(ctx context.Context, e *harness.Env) (rows []harness.Row, err error) {
			err = withEngines(ctx, e, func(on *engines) error { rows, err = p.orphans(ctx, e, on); return err })
			return rows, err
		},
	}
}

func corpusOf(e *harness.Env) load.Corpus {
	c := load.Corpus{Objects: e.Objects, Owners: 10, PerDay: 400, OrphanEvery: 100}
	if e.Short {
		c.Objects = min(c.Objects, 20_000)
	}
	return c
}

// planted is a bucket and a ledger that are full.
type planted struct {
	corpus load.Corpus
	on     *engines
	uri    string
}

func (p Programs) plant(ctx context.Context, e *harness.Env, on *engines) (*planted, error) {
	c := corpusOf(e)
	e.Say("%d objects and rows are written", c.Objects)
	uri, err := on.database(ctx, "orphans")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(on.folder, "uri")
	if err := os.WriteFile(file, []byte(uri), 0o600); err != nil {
		return nil, fmt.Errorf("write the plane's files: %w", err)
	}
	if err := load.WithLedger(ctx, file, func(context.Context, *ledger.Ledger) error { return nil }); err != nil {
		return nil, err
	}
	n, err := load.PlantObjects(filepath.Join(on.store.Folder, "objects", bucket), c.Items())
	if err != nil {
		return nil, err
	}
	rows, err := load.PlantRows(ctx, uri, load.Schema, c)
	if err == nil && (n != c.Objects || rows != int64(c.Objects)) {
		err = fmt.Errorf("%d objects and %d rows were written, not %d", n, rows, c.Objects)
	}
	return &planted{corpus: c, on: on, uri: file}, err
}

func (p Programs) orphans(ctx context.Context, e *harness.Env, on *engines) ([]harness.Row, error) {
	full, err := p.plant(ctx, e, on)
	if err != nil {
		return nil, err
	}
	all := fmt.Sprintf("%d objects", full.corpus.Objects)
	got, err := e.Interleave(ctx, all, p.scan(e, full, "in/"), p.list(e, full, "in/"))
	if err != nil {
		return nil, err
	}
	calls := got.Row(all, "calls of LIST", "", harness.Exactly(float64(full.calls(full.corpus.Objects))))
	rows := []harness.Row{
		calls, got.Row(all, "time", "s", asOneList), got.Row(all, "heap", "KiB", harness.NoGoal), own(got.Row(all, "other calls", "", harness.NoGoal)),
		own(got.Row(all, "orphans not found, or found wrongly", "", harness.Exactly(0))), own(got.Row(all, "objects not seen", "", harness.Exactly(0))),
	}
	tenth, err := p.tenth(ctx, e, full, got)
	if err != nil {
		return nil, err
	}
	siege, err := p.siege(ctx, e, full)
	return slices.Concat(harness.Explain(whyList, rows...), harness.Explain(whyHeap, tenth...), siege), err
}

// own leaves out a peer that has no such thing.
func own(r harness.Row) harness.Row {
	r.Peer = nil
	return r
}

// calls are as many as there are pages.
func (f *planted) calls(objects int) int { return (objects + page - 1) / page }

// perOwner is how many objects the first owner has.
func (f *planted) perOwner() int { return (f.corpus.Objects + f.corpus.Owners - 1) / f.corpus.Owners }

// tenth compares the objects of one owner of ten: the heap is to be the same.
func (p Programs) tenth(ctx context.Context, e *harness.Env, full *planted, all harness.Samples) ([]harness.Row, error) {
	what := "a tenth of them"
	prefix := full.corpus.Prefix(0)
	got, err := e.Interleave(ctx, what, p.scan(e, full, prefix), p.list(e, full, prefix))
	if err != nil {
		return nil, err
	}
	heap := harness.Row{
		Case: "all, against a tenth of them", Measure: "heap", Unit: "KiB", Goal: noGrowth,
		Ours: all.Row("", "heap", "", harness.NoGoal).Ours, Peer: got.Row("", "heap", "", harness.NoGoal).Ours,
	}
	return []harness.Row{
		got.Row(what, "calls of LIST", "", harness.Exactly(float64(full.calls(full.perOwner())))), got.Row(what, "time", "s", harness.NoGoal), heap,
	}, nil
}

func (p Programs) scan(e *harness.Env, full *planted, prefix string) harness.Side {
	return p.side(e, "scan", func(ctx context.Context, r *rig) (harness.Figures, error) {
		var got load.Scanned
		params := load.ScanParams{Store: full.on.bucket(), URIFile: full.uri, Prefix: prefix, Grace: grace}
		if err := r.clients.Call(ctx, load.MethodScan, params, &got); err != nil {
			return nil, err
		}
		objects := int64(full.corpus.Objects)
		if prefix != "in/" {
			objects = int64(full.perOwner())
		}
		f := figures(got)
		f["orphans not found, or found wrongly"] = float64(got.Orphans - objects/int64(full.corpus.OrphanEvery))
		f["objects not seen"] = float64(objects - got.Objects)
		return f, nil
	})
}

func (p Programs) list(e *harness.Env, full *planted, prefix string) harness.Side {
	return p.side(e, "list", func(ctx context.Context, r *rig) (harness.Figures, error) {
		var got load.Scanned
		err := r.clients.Call(ctx, load.MethodList, load.ScanParams{Store: full.on.bucket(), Prefix: prefix}, &got)
		return figures(got), err
	})
}

func figures(s load.Scanned) harness.Figures {
	return harness.Figures{
		"calls of LIST": float64(s.Lists), "other calls": float64(s.All - s.Lists), "time": s.Took.Seconds(), "heap": float64(s.Heap) / 1024,
	}
}

// side runs in a process of its own.
func (p Programs) side(e *harness.Env, name string, do func(context.Context, *rig) (harness.Figures, error)) harness.Side {
	return func(ctx context.Context) (f harness.Figures, err error) {
		r, err := p.startClients(e, "blobs-orphans")
		defer r.stop()
		if err != nil {
			return nil, err
		}
		err = r.profiled(ctx, e, "blobs-orphans-"+name, func() error { f, err = do(ctx, r); return err })
		return f, err
	}
}

// siege removes the orphans of one owner while files are uploaded for the same one: once, as they are gone then.
func (p Programs) siege(ctx context.Context, e *harness.Env, full *planted) ([]harness.Row, error) {
	what := fmt.Sprintf("removing while %d clients upload", uploaders)
	e.Say("%s", what)
	r, err := p.startClients(e, "blobs-orphans")
	defer r.stop()
	if err != nil {
		return nil, err
	}
	params := load.SiegeParams{
		ScanParams: load.ScanParams{Store: full.on.bucket(), URIFile: full.uri, Prefix: full.corpus.Prefix(0), Grace: grace},
		Uploaders:  uploaders, Days: full.perOwner()/full.corpus.PerDay + 1,
	}
	var got load.Sieged
	if err := r.clients.Call(ctx, load.MethodSiege, params, &got); err != nil {
		return nil, err
	}
	row := func(measure string, is int64, goal harness.Goal) harness.Row {
		return harness.Row{Case: what, Measure: measure, Ours: harness.Series{float64(is)}, Goal: goal}
	}
	orphans := full.perOwner() / full.corpus.OrphanEvery
	return []harness.Row{
		row("orphans removed", got.Removed, harness.Exactly(float64(orphans))),
		row("uploads acknowledged meanwhile", got.Uploads, harness.NoGoal),
		row("uploads lost", got.Lost, harness.Exactly(0)),
		row("files said to be missing", got.Missing, harness.Exactly(0)),
	}, nil
}
