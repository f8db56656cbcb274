package conformance

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/blobs"
)

var ownerTests = []test{
	{"OwnersSeeTheirOwn", testOwners},
	{"OwnersHaveBounds", testOwnerBounds},
}

// testOwners has another owner's id be one of no file.
func testOwners(t *testing.T, start Factory) {
	s := start(t, Options{}).client(t)
	ann, bob := s.as("ann", "submit", "read", "manage"), s.as("bob", "submit", "read", "manage")
	u := ann.begin(textFile(5))
	if u.Owner != "ann" {
		t.Errorf("ann's file is %+v", u)
	}
	n := textFile(5)
	n.Owner = "ann"
	bob.refused(http.StatusForbidden, "not-allowed", http.MethodPost, "/v1/uploads", n)
	bob.refused(http.StatusForbidden, "not-allowed", http.MethodGet, "/v1/files?owner=ann", nil)
	for _, c := range [][2]string{
		{http.MethodGet, "/v1/uploads/" + u.ID}, {http.MethodPost, "/v1/uploads/" + u.ID + ":complete"}, {http.MethodPost, "/v1/uploads/" + u.ID + ":abort"},
		{http.MethodGet, "/v1/files/" + u.ID}, {http.MethodDelete, "/v1/files/" + u.ID}, {http.MethodPost, "/v1/files/" + u.ID + ":download"},
		{http.MethodGet, "/v1/files/" + uuid.NewString()},
	} {
		bob.refused(http.StatusNotFound, "no-such-file", c[0], c[1], nil, "another owner's")
	}
	bob.refused(http.StatusNotFound, "no-such-file", http.MethodPost, "/v1/files/"+u.ID+":move", map[string]any{"prefix": "in/bob/"})
	if f := ann.file(u.ID); f.Status != blobs.StatusPending || f.Revision != u.Revision {
		t.Errorf("ann's file is %+v", f)
	}
	reader := s.as("ann", "read")
	reader.refused(http.StatusForbidden, "not-allowed", http.MethodPost, "/v1/uploads", textFile(1), "submit")
	reader.refused(http.StatusForbidden, "not-allowed", http.MethodDelete, "/v1/files/"+u.ID, nil, "manage")
	for client, want := range map[*client]int{ann: 1, bob: 0, s: 1, reader: 1} {
		if page := client.list(""); len(page.Files) != want {
			t.Errorf("%d files, want %d", len(page.Files), want)
		}
	}
	for _, token := range []string{"", "nonsense", s.token + "x"} {
		newClient(t, s.base, token).must(http.StatusUnauthorized, http.MethodGet, "/v1/files/"+u.ID, nil, nil)
	}
}

func testOwnerBounds(t *testing.T, start Factory) {
	s := start(t, section(func(b *planeconfig.Blobs) { b.Uploads.OwnerBytes = 12 })).client(t)
	ann, bob := s.as("ann", "submit", "read", "manage"), s.as("bob", "submit", "read", "manage")
	u := ann.begin(textFile(5))
	ann.refused(http.StatusForbidden, "owner-full", http.MethodPost, "/v1/uploads", textFile(8), "12 bytes")
	bob.begin(textFile(12))
	ann.must(http.StatusOK, http.MethodPost, "/v1/uploads/"+u.ID+":abort", nil, nil)
	ann.begin(textFile(12))
}
