//go:build browser

package browser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	. "github.com/onsi/gomega"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
	"github.com/trellis-dev/trellis/test/browser/chromium"
	"github.com/trellis-dev/trellis/test/e2e/realtimeclient"
)

// uploads is the page to try uploads, in a tab.
type uploads struct {
	*page
	b *bucket
}

// openUploads shows the page. When the test ends, no script may have failed, and the policy may have stopped nothing.
func openUploads(t *testing.T, b *bucket) *uploads {
	t.Helper()
	p := &uploads{page: open(t, b.replica), b: b}
	t.Cleanup(func() { NewWithT(t).Expect(p.Violations()).To(BeEmpty(), "of the page's policy") })
	return p
}

// as an owner of that token.
func (p *uploads) as(token string) {
	p.t.Helper()
	p.fill("token", token)
	p.click("#open")
	p.awaitState("open")
}

func (p *uploads) choose(paths ...string) {
	p.t.Helper()
	p.Do(p.t, chromedp.SetUploadFiles(chromedp.CSS("#file"), paths))
}

// press a button by what it is called for those who do not see it. Keys do it, as a mouse is not had by all.
func (p *uploads) press(label string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll("button")].find(b => b.checkVisibility() && b.getAttribute("aria-label") === %s)`, quote(label))
	NewWithT(p.t).Eventually(func() bool { return chromium.Eval[bool](p.t, p.Tab, find+" !== undefined") }, patience, often).Should(BeTrue(), "a button %q", label)
	chromium.Eval[bool](p.t, p.Tab, "("+find+".focus(), true)")
	p.Do(p.t, chromedp.KeyEvent("\r"))
}

// upload is what the page shows of one: its state, and what is wrong with it.
func (p *uploads) upload(name string) string {
	return chromium.Eval[string](p.t, p.Tab, fmt.Sprintf(`(row => !row ? "none" : row.dataset.state + " " + row.querySelector(".problem").textContent)
		(document.querySelector('#uploads li[data-name=%s]'))`, quote(name)))
}

func (p *uploads) awaitUpload(name, state string) {
	p.t.Helper()
	NewWithT(p.t).Eventually(func() string { return p.upload(name) }, patience, often).Should(HavePrefix(state), func() string {
		return p.Text(p.t, "uploads") + p.b.gate.asked()
	})
}

// progress is how many bytes the bar shows.
func (p *uploads) progress(name string) int {
	return chromium.Eval[int](p.t, p.Tab, fmt.Sprintf(`document.querySelector('#uploads li[data-name=%s] progress').value`, quote(name)))
}

// files are the names that are listed.
func (p *uploads) files() []string {
	return chromium.Eval[[]string](p.t, p.Tab, `[...document.querySelectorAll("#files > li")].map(row => row.dataset.name)`)
}

func (p *uploads) awaitFiles(names ...string) {
	p.t.Helper()
	NewWithT(p.t).Eventually(p.files, patience, often).Should(ConsistOf(names))
}

// files of all owners, of a status.
func (b *bucket) files(status blobs.Status) []blobs.File {
	b.t.Helper()
	var out blobs.Page
	err := realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodGet, "http://"+b.address+"/v1/files?status="+string(status), bindingToken, nil, &out, http.StatusOK)
	NewWithT(b.t).Expect(err).NotTo(HaveOccurred())
	return out.Files
}

// hash of a file's content, as a client of the contract downloads it.
func (b *bucket) hash(id string) string {
	b.t.Helper()
	g := NewWithT(b.t)
	var get blobs.Request
	g.Expect(realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodPost, "http://"+b.address+"/v1/files/"+id+":download", bindingToken, nil, &get, http.StatusOK)).To(Succeed())
	resp, err := http.Get(get.URL)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return hashOf(content)
}

func hashOf(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

// someFile has bytes that are all but the same wherever one looks.
func someFile(t *testing.T, name string, size int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	path = filepath.Join(t.TempDir(), name)
	write(t, path, string(content))
	return path, content
}

// TestUploads is the page of buckets on a real store.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for name, test := range map[string]func(*testing.T, *shelf){
		"small": uploadSmall, "resumed": uploadResumed, "refused": uploadRefused, "aborted": uploadAborted, "owners": uploadOfOwners,
		"checksum": uploadChecksum, "anew": uploadAnew, "ended": uploadEnded, "off": uploadOff,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// A file that goes whole comes back by the browser's own download, under its name, and is deleted.
func uploadSmall(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "small", nil)
	b.gate.fail = func(int) int { return http.StatusServiceUnavailable }
	path, content := someFile(t, "ein Täxt.txt", 300_000)
	p := openUploads(t, b)
	p.as(bindingToken)
	p.choose(path)
	p.awaitUpload("ein Täxt.txt", "uploaded")
	g.Expect(p.progress("ein Täxt.txt")).To(Equal(len(content)))
	g.Expect(b.gate.came()).To(Equal([]int{0, 0}), "the request that failed is sent again")
	p.awaitFiles("ein Täxt.txt")
	uploaded := b.files(blobs.StatusUploaded)
	g.Expect(uploaded).To(HaveLen(1))
	g.Expect(uploaded[0].Owner).To(Equal("try-out-page"))
	g.Expect(uploaded[0].ContentType).To(Equal("text/plain"))

	folder := t.TempDir()
	chrome.SaveDownloads(t, folder)
	p.press("Download: ein Täxt.txt")
	g.Eventually(func() (bool, error) {
		got, err := os.ReadFile(filepath.Join(folder, "ein Täxt.txt"))
		return bytes.Equal(got, content), err
	}, patience, often).Should(BeTrue())

	stored := chromium.Eval[string](t, p.Tab, `JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, location.href, performance.getEntries().map(e => e.name)])`)
	g.Expect(stored).NotTo(ContainSubstring(bindingToken))
	p.press("Delete: ein Täxt.txt")
	p.press("Really delete: ein Täxt.txt")
	p.awaitFiles()
	g.Expect(b.files(blobs.StatusUploaded)).To(BeEmpty())
}

// A large file is cut off twice: by a pause, and by a page that is gone. Only what is missing is sent then.
func uploadResumed(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "resumed", nil)
	b.gate.hold = func(part int) bool { return part > 2 }
	b.gate.fail = func(part int) int { return map[int]int{1: http.StatusServiceUnavailable}[part] }
	path, content := someFile(t, "large.bin", 18*mebi)
	p := openUploads(t, b)
	p.as(b.token("ann"))
	p.choose(path)
	g.Eventually(func() int { return p.progress("large.bin") }, patience, often).Should(BeNumerically(">=", 10*mebi))
	g.Eventually(func() int64 { return b.stored("ann") }, patience, often).Should(BeEquivalentTo(10 * mebi))
	g.Eventually(b.gate.asked, patience, often).Should(And(ContainSubstring("3"), ContainSubstring("4")))
	p.press("Pause: large.bin")
	p.awaitUpload("large.bin", "paused")
	g.Expect(b.gate.came()).To(Equal([]int{1, 1, 2, 3, 4}), "a part that was lost is sent again")

	p.press("Resume: large.bin")
	g.Eventually(b.gate.asked, patience, often).Should(And(ContainSubstring("3"), ContainSubstring("4")))
	p.Do(t, chromedp.Reload())
	g.Expect(b.gate.came()).To(Equal([]int{3, 4}), "after a pause, what is missing is sent")
	b.gate.open()

	p.awaitUpload("large.bin", "waiting")
	p.awaitState("open")
	g.Eventually(func() int { return p.progress("large.bin") }, patience, often).Should(Equal(10*mebi), "what the store has")
	p.choose(path)
	p.awaitUpload("large.bin", "uploaded")
	g.Expect(b.gate.came()).To(Equal([]int{3, 4}), "after a reload, what is missing is sent")
	p.awaitFiles("large.bin")
	uploaded := b.files(blobs.StatusUploaded)
	g.Expect(uploaded).To(HaveLen(1), "it was one upload all the time")
	g.Expect(b.hash(uploaded[0].ID)).To(Equal(hashOf(content)))
	g.Expect(chromium.Eval[string](t, p.Tab, `JSON.stringify({...localStorage})`)).NotTo(ContainSubstring(uploaded[0].ID))
}

// stored is how many bytes the store has of the only upload that is pending.
func (b *bucket) stored(owner string) int64 {
	b.t.Helper()
	pending := b.files(blobs.StatusPending)
	if len(pending) != 1 || pending[0].Owner != owner {
		return -1
	}
	var out blobs.Upload
	err := realtimeclient.Do(context.Background(), http.DefaultClient, http.MethodGet, "http://"+b.address+"/v1/uploads/"+pending[0].ID, bindingToken, nil, &out, http.StatusOK)
	NewWithT(b.t).Expect(err).NotTo(HaveOccurred())
	return out.Stored
}

// What a bucket does not take is said in words, before a byte is sent; and so is a token that is none.
func uploadRefused(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "refused", func(c *planeconfig.Blobs) {
		c.Uploads.MaxBytes, c.Uploads.ContentTypes = 1000, []string{"text/*"}
	})
	p := openUploads(t, b)
	p.fill("token", "wrong")
	p.click("#open")
	p.awaitState("refused")
	g.Expect(p.Text(t, "problem")).To(ContainSubstring("The token is not accepted (401)"))
	p.as(b.token("ann"))
	g.Expect(p.Text(t, "problem")).To(BeEmpty())
	g.Expect(p.Text(t, "limits")).To(ContainSubstring("1000 bytes, text/*"))
	image, _ := someFile(t, "a.png", 10)
	long, _ := someFile(t, "long.txt", 1001)
	p.choose(image, long)
	p.awaitUpload("a.png", "refused")
	p.awaitUpload("long.txt", "refused")
	g.Expect(p.upload("a.png")).To(ContainSubstring("is not one that this bucket takes"))
	g.Expect(p.upload("long.txt")).To(ContainSubstring("must be from 0 to 1000 bytes"))
	g.Expect(b.gate.came()).To(BeEmpty())

	// A token that may read only is told what it lacks.
	p.as(b.mint(map[string]any{"rights": []string{"read"}, "subject": "ann"}))
	short, _ := someFile(t, "short.txt", 10)
	p.choose(short)
	p.awaitUpload("short.txt", "refused")
	g.Expect(p.upload("short.txt")).To(ContainSubstring("(403): submit is needed"))
}

// An upload that is given up leaves nothing, here and there.
func uploadAborted(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "aborted", nil)
	b.gate.hold = func(int) bool { return true }
	path, _ := someFile(t, "large.bin", 6*mebi)
	p := openUploads(t, b)
	p.as(b.token("ann"))
	p.choose(path)
	g.Eventually(b.gate.asked, patience, often).Should(ContainSubstring("2"))
	p.press("Abort: large.bin")
	p.awaitUpload("large.bin", "none")
	deleted := b.files(blobs.StatusDeleted)
	g.Expect(deleted).To(HaveLen(1))
	g.Expect(deleted[0].Reason).To(Equal("aborted"))
	g.Expect(chromium.Eval[string](t, p.Tab, `JSON.stringify({...localStorage})`)).NotTo(ContainSubstring(deleted[0].ID))
	p.Do(t, chromedp.Reload())
	p.awaitState("open")
	g.Expect(p.upload("large.bin")).To(Equal("none"))
}

// One sees one's own files, whether they were chosen or dropped, and no name of a file becomes markup.
func uploadOfOwners(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "owners", nil)
	ann, bob := openUploads(t, b), openUploads(t, b)
	ann.as(b.token("ann"))
	bob.as(b.token("bob"))
	name := `<img src=x onerror=hurt=1>.txt`
	path, _ := someFile(t, name, 10)
	ann.choose(path)
	ann.awaitUpload(name, "uploaded")
	ann.awaitFiles(name)
	chromium.Eval[bool](t, bob.Tab, `(() => {
		const dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File(["of bob"], "bob.txt", {type: "text/plain"}));
		return !document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
	})()`)
	bob.awaitUpload("bob.txt", "uploaded")
	bob.awaitFiles("bob.txt")
	g.Expect(b.files(blobs.StatusUploaded)).To(HaveLen(2))
	g.Expect(chromium.Eval[bool](t, ann.Tab, `"hurt" in window || document.querySelector("main img") !== null`)).To(BeFalse())
	g.Expect(chromium.Eval[[]string](t, ann.Tab, `[...document.querySelectorAll("input, select")].filter(e => !e.labels.length).map(e => e.outerHTML)`)).To(BeEmpty())
	for _, width := range []int64{320, 1280} {
		ann.Do(t, chromedp.EmulateViewport(width, 800))
		g.Expect(chromium.Eval[bool](t, ann.Tab, `document.documentElement.scrollWidth <= innerWidth`)).To(BeTrue(), "at %d pixels nothing is cut", width)
	}
}

// Where a bucket asks for checksums, the page computes them, and the store compares.
func uploadChecksum(t *testing.T, s *shelf) {
	for _, algorithm := range []blobs.Algorithm{blobs.SHA256, blobs.CRC32C} {
		b := s.serve(t, "checksum-"+map[blobs.Algorithm]string{blobs.SHA256: "sha256", blobs.CRC32C: "crc32c"}[algorithm], func(c *planeconfig.Blobs) {
			c.Uploads.Checksum = string(algorithm)
		})
		path, content := someFile(t, "a.bin", 100_000)
		empty, _ := someFile(t, "empty.bin", 0)
		p := openUploads(t, b)
		p.as(b.token("ann"))
		p.choose(path, empty)
		p.awaitUpload("a.bin", "uploaded")
		p.awaitUpload("empty.bin", "uploaded")
		for _, f := range b.files(blobs.StatusUploaded) {
			g := NewWithT(t)
			g.Expect(f.Checksum).NotTo(BeNil())
			g.Expect(f.Checksum.Algorithm).To(Equal(algorithm))
			if f.Size > 0 {
				g.Expect(b.hash(f.ID)).To(Equal(hashOf(content)))
			}
		}
	}
}

// A file that goes whole begins anew after a pause: what the store kept of it is no part of the file.
func uploadAnew(t *testing.T, s *shelf) {
	g := NewWithT(t)
	b := s.serve(t, "anew", nil)
	b.gate.hold = func(int) bool { return true }
	path, content := someFile(t, "whole.bin", 3*mebi)
	p := openUploads(t, b)
	p.as(b.token("ann"))
	p.choose(path)
	g.Eventually(b.gate.asked, patience, often).Should(ContainSubstring("0"))
	p.press("Pause: whole.bin")
	p.awaitUpload("whole.bin", "paused")
	b.gate.open()
	p.press("Resume: whole.bin")
	p.awaitUpload("whole.bin", "uploaded")
	uploaded := b.files(blobs.StatusUploaded)
	g.Expect(uploaded).To(HaveLen(1))
	g.Expect(b.files(blobs.StatusDeleted)).To(HaveLen(1), "the one before is aborted")
	g.Expect(b.files(blobs.StatusPending)).To(BeEmpty())
	g.Expect(b.hash(uploaded[0].ID)).To(Equal(hashOf(content)))
}

// A request that has ended is refused by the store: the page asks for a fresh one.
func uploadEnded(t *testing.T, s *shelf) {
	b := s.serve(t, "ended", nil)
	b.gate.fail = func(part int) int { return map[int]int{2: http.StatusForbidden}[part] }
	path, content := someFile(t, "two.bin", 6*mebi)
	p := openUploads(t, b)
	p.as(b.token("ann"))
	p.choose(path)
	p.awaitUpload("two.bin", "uploaded")
	g := NewWithT(t)
	g.Expect(b.gate.came()).To(ContainElements(1, 2, 2))
	g.Expect(b.hash(b.files(blobs.StatusUploaded)[0].ID)).To(Equal(hashOf(content)))
}

// There is no page of a bucket, nor anything of it, unless its configuration asks for it.
func uploadOff(t *testing.T, s *shelf) {
	b := s.serve(t, "off", func(c *planeconfig.Blobs) { c.Playground = false })
	for _, path := range []string{"", "playground/page.js", "playground/settings.json"} {
		resp, err := http.Get(b.page() + path)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(resp.Body.Close()).To(Succeed())
		NewWithT(t).Expect(resp.StatusCode).To(Equal(http.StatusUnauthorized))
	}
}
