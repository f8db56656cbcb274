package blobs

import "github.com/trellis-dev/trellis/internal/plane/blobs/playground"

// registerPage serves the page to try uploads. The page itself needs no token, everything that it does needs one.
func (b *Bucket) registerPage(store string) {
	page := playground.New(store, func() playground.Settings {
		u := b.live.Load().cfg.Uploads
		return playground.Settings{Checksum: u.Checksum, PartBytes: u.PartSize, MaxBytes: u.MaxBytes, ContentTypes: u.ContentTypes}
	})
	for _, path := range page.Paths() {
		b.plane.OwnAuth(path)
		b.plane.Router.Get(path, page.ServeHTTP)
	}
}
