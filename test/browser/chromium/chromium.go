// Package chromium drives this machine's Chromium, without a window, and lets
// it reach loopback addresses only.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// actWithin bounds one action on a page, on a machine that does much else.
const actWithin = 60 * time.Second

// Browser is a running Chromium. Close ends it.
type Browser struct {
	ctx context.Context
	end func() error
}

// Start runs a Chromium with a profile of its own.
func Start() (*Browser, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		// Tests run as root in CI, where Chromium's own sandbox is not to be had.
		chromedp.NoSandbox,
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, end: func() error {
		defer stop()
		limit, cancel := context.WithTimeout(ctx, actWithin)
		defer cancel()
		return chromedp.Cancel(limit)
	}}
	if err := chromedp.Do(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), b.end())
	}
	return b, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no Chromium; hack/deps.sh installs it")
}

// Close ends the browser and waits for it to be gone.
func (b *Browser) Close() error { return b.end() }

// SaveDownloads has files that are downloaded from now on saved in a folder, under the names that they are sent with.
func (b *Browser) SaveDownloads(t testing.TB, folder string) {
	t.Helper()
	limit, cancel := context.WithTimeout(b.ctx, actWithin)
	defer cancel()
	behavior := browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder}
	if _, err := chromedp.CallBrowser(limit, browser.SetDownloadBehavior, behavior); err != nil {
		t.Fatalf("save downloads: %v", err)
	}
}

// Tab is an open page.
type Tab struct {
	ctx context.Context

	mu         sync.Mutex
	failures   []string
	violations []string
}

// Open shows a URL in a new tab, which is closed when the test ends.
func (b *Browser) Open(t testing.TB, url string) *Tab {
	t.Helper()
	tab := &Tab{}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(tab.heard))
	t.Cleanup(cancel)
	tab.ctx = ctx
	// The first action opens the tab, which lives as long as the action's context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	tab.Do(t, chromedp.Navigate(url))
	return tab
}

func (tab *Tab) heard(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		tab.failures = append(tab.failures, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		if e.Entry.Source == log.EntrySourceSecurity {
			tab.violations = append(tab.violations, e.Entry.Text)
		}
	}
}

// Violations are what Chromium kept the page from, by the page's policy.
func (tab *Tab) Violations() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.violations)
}

// Failures are the errors that scripts of the page did not catch.
func (tab *Tab) Failures() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.failures)
}

// Do acts on the page; an error ends the test.
func (tab *Tab) Do(t testing.TB, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, actWithin)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("on the page: %v", err)
	}
}

// Evaluate an expression; a promise is waited for.
func Evaluate[T any](tab *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, actWithin)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Eval is Evaluate; an error ends the test.
func Eval[T any](t testing.TB, tab *Tab, expression string) T {
	t.Helper()
	out, err := Evaluate[T](tab, expression)
	if err != nil {
		t.Fatalf("evaluate %s: %v", expression, err)
	}
	return out
}

// Text is that of the element with this id.
func (tab *Tab) Text(t testing.TB, id string) string {
	t.Helper()
	return strings.TrimSpace(Eval[string](t, tab, fmt.Sprintf("document.getElementById(%q).textContent", id)))
}
