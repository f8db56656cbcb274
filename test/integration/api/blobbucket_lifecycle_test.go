//go:build integration

package api

import (
	"fmt"
	"slices"
)

func lifecycleRows() []row {
	const (
		at         = "spec.lifecycle"
		first      = at + "[0]."
		nothing    = "a rule needs expireAfter, transitions, abortIncompleteAfter or expireNoncurrentAfter"
		keptOfNone = "keepNoncurrent says which versions expireNoncurrentAfter leaves: set that too"
		noSize     = "an upload that is not complete has no tags and no size: put abortIncompleteAfter into a rule with a prefix alone"
	)
	only := func(fields map[string]any) change {
		fields["name"] = "a"
		return set(at, []any{fields})
	}
	rows := slices.Concat(
		many(at, 32, named("expireAfter", "24h"), true),
		ruleNameRows(first+"name"), required(first+"name"),
		text(first+"prefix", 1, 1024, letters),
		keys(first+"tags", 10), text(first+"tags.kind", 0, 256, letters),
		number(first+"keepNoncurrent", 1, 100), transitionRows(first+"transitions"),
		listedSizeRows(first+"minSize"), listedSizeRows(first+"maxSize"),
		[]row{
			refused("a rule of nothing", only(map[string]any{"prefix": "a"}), rule(at+"[0]", nothing)),
			refused("versions kept of none", only(map[string]any{"expireAfter": "24h", "keepNoncurrent": int64(1)}), rule(at+"[0]", keptOfNone)),
			allowed("uploads of a prefix", only(map[string]any{"abortIncompleteAfter": "24h", "prefix": "a"})),
		},
	)
	for _, field := range []string{"expireAfter", "abortIncompleteAfter", "expireNoncurrentAfter"} {
		rows = append(rows, durationRows(first+field, "1m", "876000h", "59s", "876001h", field+" must be between 1m and 876000h")...)
	}
	for field, value := range map[string]any{"tags": map[string]any{"a": "b"}, "minSize": "1Mi", "maxSize": "1Mi"} {
		rows = append(rows, refused("uploads by "+field, only(map[string]any{"abortIncompleteAfter": "24h", field: value}), rule(at+"[0]", noSize)))
	}
	return rows
}

func transitionRows(at string) []row {
	class := func(n int) any { return map[string]any{"storageClass": fmt.Sprintf("CLASS_%d", n)} }
	return slices.Concat(
		many(at, 4, class, false),
		text(at+"[0].storageClass", 1, 63, letters), required(at+"[0].storageClass"),
		durationRows(at+"[0].after", "24h", "876000h", "23h", "876001h", "after must be between 24h and 876000h"),
		[]row{
			some(at),
			refused(at+" twice the same", set(at, []any{class(0), class(0)}), at+`[1]: Duplicate value: {"storageClass":"CLASS_0"}`),
		},
	)
}

// listedSizeRows are of a Quantity in a list, where a rule would cost too much: the operator asks for more.
func listedSizeRows(path string) []row {
	return []row{
		allowed(path+" as a number", set(path, int64(1<<20))),
		allowed(path+" as a text", set(path, "1.5Mi")),
		refused(path+" not a quantity", set(path, "1 MB"), mismatch(path, "1 MB", quantityPattern)),
	}
}
