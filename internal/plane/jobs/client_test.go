package jobs_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	pub "github.com/trellis-dev/trellis/pkg/jobs"
)

// TestClientLists has the client of pkg/jobs read lists of several pages from a plane.
func TestClientLists(t *testing.T) {
	t.Parallel()
	target := memory(t, conformance.Options{})
	client, err := pub.NewClient(pub.Options{URL: target.URL(), Token: pub.StaticToken(target.Token)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const n = 250
	batch := make([]pub.Submission, n)
	for i := range batch {
		batch[i] = pub.Submission{Type: "listed", Metadata: map[string]string{"even": fmt.Sprint(i%2 == 0)}, MaxAttempts: 1}
	}
	results, err := client.SubmitBatch(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	newest := make([]string, n)
	for i, r := range results {
		newest[n-1-i] = r.ID
	}
	read := func(list iter.Seq2[pub.Job, error]) (ids []string) {
		for job, err := range list {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, job.ID)
		}
		return ids
	}
	if diff := cmp.Diff(newest, read(client.List(ctx, pub.Filter{Type: "listed"}))); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	even := read(client.List(ctx, pub.Filter{Status: pub.StatusQueued, Metadata: map[string]string{"even": "true"}}))
	if len(even) != n/2 {
		t.Errorf("%d jobs with the metadata, want %d", len(even), n/2)
	}
	var dead []string
	for len(dead) < 120 {
		reply, err := client.Lease(ctx, pub.LeaseRequest{Worker: "w", Max: 60})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range reply.Leases {
			if err := client.Fail(ctx, l.Job.ID, pub.FailRequest{Token: l.Token, Error: "no", Permanent: true}); err != nil {
				t.Fatal(err)
			}
			dead = append(dead, l.Job.ID)
		}
	}
	got := read(client.Dead(ctx, pub.Filter{Status: pub.StatusQueued, Type: "listed"}))
	slices.Sort(dead)
	slices.Sort(got)
	if diff := cmp.Diff(dead, got); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
}
