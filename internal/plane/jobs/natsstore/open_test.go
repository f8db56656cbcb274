package natsstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestPrefixesAreNamesAndStayApart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "instance")
	if err := os.WriteFile(file, []byte("0193ab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]planeconfig.Engine{}
	for _, e := range []planeconfig.Engine{
		{}, {Prefix: "plain"}, {Prefix: "trellis:jq:a"}, {Prefix: "trellis:jq.a"}, {Prefix: "trellis:jq:a", PrefixFile: file},
		{Prefix: strings.Repeat("x", 80)}, {Prefix: strings.Repeat("x", 81)},
	} {
		prefix, err := prefixOf(e)
		if err != nil || !prefixes.MatchString(prefix) {
			t.Errorf("%+v gives %q, %v", e, prefix, err)
		}
		if other, known := seen[prefix]; known {
			t.Errorf("%+v and %+v are both %q", e, other, prefix)
		}
		seen[prefix] = e
	}
}
