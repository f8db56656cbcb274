package blobs

import (
	"context"
	"errors"
)

// pages are those of a store's list. The next one is fetched while its user is at work on the one before, so that the two
// take the time of the longer one.
type pages struct {
	// list asks for the page after a key.
	list   func(after string) listed
	coming chan listed
	cancel context.CancelFunc
}

// listed is a page, or why there is none.
type listed struct {
	page []Object
	more bool
	err  error
}

// pagesOf begins with the first page. They are to be closed.
func pagesOf(ctx context.Context, objects Objects, prefix string) *pages {
	ctx, cancel := context.WithCancel(ctx)
	p := &pages{cancel: cancel, list: func(after string) (l listed) {
		l.page, l.more, l.err = objects.List(ctx, prefix, after)
		return l
	}}
	p.fetch("")
	return p
}

func (p *pages) fetch(after string) {
	coming := make(chan listed, 1)
	p.coming = coming
	go func() { coming <- p.list(after) }()
}

// next is a page and the last key of it, which is empty with the last page.
func (p *pages) next() (page []Object, until string, err error) {
	l := <-p.coming
	p.coming = nil
	switch {
	case l.err != nil:
		return nil, "", l.err
	case !l.more:
		return l.page, "", nil
	case len(l.page) == 0:
		return nil, "", errors.New("list objects: the store says that there are more, and gives none")
	}
	until = l.page[len(l.page)-1].Key
	p.fetch(until)
	return l.page, until, nil
}

// close ends what is being fetched, and waits for that.
func (p *pages) close() {
	p.cancel()
	if p.coming != nil {
		<-p.coming
	}
}
