package blobs

import "context"

// keyBatch is how many of the ledger's keys are read at a time: somewhat more than a page of the store has, so that one call
// is enough for those that go with it.
const keyBatch = 1500

// walk goes through a store and a ledger side by side, by a sorted merge of their pages: no more is in memory than
// two pages of the store and one of the ledger.
type walk struct {
	*Collector
	prefix string
	// seen objects and known keys, by so many calls of the store's List.
	seen, known, calls int64
}

// visitor judges what a walk finds. What the store lists was in the ledger before, if it ever was.
type visitor interface {
	onlyStored(ctx context.Context, o Object) error
	onlyKnown(ctx context.Context, k KeyEntry) error
	both(ctx context.Context, o Object, k KeyEntry) error
	// paged is called after each page of the store.
	paged(ctx context.Context) error
}

func (w *walk) run(ctx context.Context, v visitor) error {
	list := pagesOf(ctx, w.Objects, w.prefix)
	defer list.close()
	for after, more := "", true; more; {
		page, until, err := list.next()
		if err != nil {
			return err
		}
		w.calls++
		w.seen += int64(len(page))
		// After the list: whatever that has was in the ledger before it.
		if err := w.merge(ctx, v, page, after, until); err != nil {
			return err
		}
		if err := v.paged(ctx); err != nil {
			return err
		}
		after, more = until, until != ""
	}
	return nil
}

// merge compares a page of the store with the keys that the ledger has from after to until.
func (w *walk) merge(ctx context.Context, v visitor, page []Object, after, until string) error {
	keys := &keyCursor{walk: w, after: after, until: until}
	k, err := keys.next(ctx)
	for _, o := range page {
		for ; err == nil && k != nil && k.Key < o.Key; k, err = keys.next(ctx) {
			if err := v.onlyKnown(ctx, *k); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if k == nil || k.Key != o.Key {
			if err := v.onlyStored(ctx, o); err != nil {
				return err
			}
			continue
		}
		if err := v.both(ctx, o, *k); err != nil {
			return err
		}
		k, err = keys.next(ctx)
	}
	for ; err == nil && k != nil; k, err = keys.next(ctx) {
		if err := v.onlyKnown(ctx, *k); err != nil {
			return err
		}
	}
	return err
}

// keyCursor walks the ledger's keys.
type keyCursor struct {
	walk         *walk
	after, until string
	page         []KeyEntry
	ended        bool
}

// next is nil after the last one.
func (c *keyCursor) next(ctx context.Context) (*KeyEntry, error) {
	if len(c.page) == 0 && !c.ended {
		var err error
		c.page, err = c.walk.Ledger.Keys(ctx, c.walk.prefix, c.after, c.until, keyBatch)
		if err != nil {
			return nil, err
		}
		c.ended = len(c.page) < keyBatch
	}
	if len(c.page) == 0 {
		return nil, nil
	}
	k := &c.page[0]
	c.page, c.after = c.page[1:], k.Key
	c.walk.known++
	return k, nil
}
