package blobs

import (
	"strings"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	at := time.Date(2030, 2, 3, 23, 0, 0, 0, time.FixedZone("", -7200))
	for _, c := range []struct{ template, owner, filename, want string }{
		{"in/${date}/${id}${ext}", "", "a.TXT", "in/2030/02/04/ID.txt"},
		{"${owner}/${id}", "ann-1", "a", "ann-1/ID"},
		{"${owner}/${id}", "", "a", "_/ID"},
		{"${owner}/${id}${ext}", "../../etc", "../../passwd", "=2e=2e=2f=2e=2e=2fetc/ID"},
		{"${owner}/${id}${ext}", "a/b\x00", "a.t/x", "a=2fb=00/ID"},
		{"${owner}/${id}${ext}", "${id}", "x.${id}", "=24=7bid=7d/ID"},
		{"in/${id}${ext}", "", "ünïcode.☃", "in/ID"},
		{"in/${id}${ext}", "", "a." + strings.Repeat("x", 300), "in/ID"},
		{"in/${id}${ext}", "", ".", "in/ID"},
	} {
		if err := template(c.template).check(); err != nil {
			t.Error(err)
		}
		if got := template(c.template).key("ID", c.owner, c.filename, at); got != c.want {
			t.Errorf("%s of %q and %q is %q, want %q", c.template, c.owner, c.filename, got, c.want)
		}
	}
	for _, bad := range []string{"", "in/", "/${id}", "a//${id}", "../${id}", "a/../${id}", "./${id}", "${id}/", "${id}${name}", "a\\${id}", "${id}$", "a\n${id}"} {
		if err := template(bad).check(); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
	if got := template("in/x-${date}/${id}").prefix(); got != "in/x-" {
		t.Errorf("prefix is %q", got)
	}
}
