package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

func TestSchemasAreNamesAndStayApart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "instance")
	if err := os.WriteFile(file, []byte("0193ab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]planeconfig.Engine{}
	for _, e := range []planeconfig.Engine{
		{}, {Prefix: "plain"}, {Prefix: "Plain"}, {Prefix: "pg_plain"}, {Prefix: "0plain"}, {Prefix: "trellis:jq:a"}, {Prefix: "trellis:jq.a"},
		{Prefix: "trellis:jq:a", PrefixFile: file}, {Prefix: `"; --`}, {Prefix: "ünder"},
		{Prefix: strings.Repeat("x", 50)}, {Prefix: strings.Repeat("x", 51)}, {Prefix: strings.Repeat("x", 80)},
	} {
		schema, err := SchemaOf(e, "fallback")
		if err != nil || !plainSchema.MatchString(schema) || len(schema) > MaxSchema || strings.HasPrefix(schema, "pg_") {
			t.Errorf("%+v gives %q, %v", e, schema, err)
		}
		if other, known := seen[schema]; known {
			t.Errorf("%+v and %+v are both %q", e, other, schema)
		}
		seen[schema] = e
	}
	if _, err := SchemaOf(planeconfig.Engine{PrefixFile: file + "-not"}, ""); err == nil {
		t.Error("a file that is not there is no error")
	}
}
