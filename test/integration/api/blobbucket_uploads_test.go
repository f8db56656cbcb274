//go:build integration

package api

import (
	"fmt"
	"slices"
)

func uploadRows() []row {
	const (
		at    = "spec.uploads."
		above = "urlTTL is above pendingTimeout, and a file may be pending as long as its requests are good: lower urlTTL, or raise pendingTimeout"
	)
	notCompared := rule("spec.uploads", `"object": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: `+above)
	ttl := durationRows(at+"urlTTL", "1m", "168h", "59s", "168h1s", "urlTTL must be between 1m and 168h")
	timeout := durationRows(at+"pendingTimeout", "1m", "720h", "59s", "720h1s", "pendingTimeout must be between 1m and 720h")
	return slices.Concat(
		boundedSizeRows(at+"maxBytes", "1", "48Ti", "0", "49Ti", "maxBytes must be between 1 and 48Ti"),
		boundedSizeRows(at+"multipartPartSize", "5Mi", "5Gi", "4Mi", "6Gi", "multipartPartSize must be between 5Mi and 5Gi"),
		choice(at+"checksum", "None", "SHA256", "CRC32C"),
		besides(ttl, 4, notCompared),
		besides(besides(timeout, 2, rule("spec.uploads", above)), 4, notCompared),
		number(at+"perOwner.uploadsPerMinute", 1, 100000), sizeRows(at+"perOwner.bytes"),
		contentTypeRows(at+"contentTypes"), keyTemplateRows(at+"keyTemplate"),
		[]row{
			refused("requests that outlive their file", patch(`spec: {uploads: {urlTTL: 2h, pendingTimeout: 1h}}`), rule("spec.uploads", above)),
			refused("a bound of nothing", set(at+"perOwner", map[string]any{}), rule("spec.uploads.perOwner", "perOwner needs uploadsPerMinute, bytes, or both")),
		},
	)
}

// boundedSizeRows are of a Quantity of low to high; below and above are just outside.
func boundedSizeRows(path, low, high, below, above, message string) []row {
	return []row{
		allowed(path+" lowest", set(path, low)),
		allowed(path+" highest", set(path, high)),
		allowed(path+" as a number", set(path, int64(16<<20))),
		refused(path+" too small", set(path, below), ruleOf(path, below, message)),
		refused(path+" too large", set(path, above), ruleOf(path, above, message)),
		refused(path+" not a quantity", set(path, "16 MB"), mismatch(path, "16 MB", quantityPattern),
			rule(path, `"": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: `+message)),
	}
}

func contentTypeRows(path string) []row {
	const form = "a content type is type/subtype in lower case, as image/png, or type/*"
	rows := slices.Concat(
		many(path, 64, func(n int) any { return fmt.Sprintf("video/x%d", n) }, true),
		text(path+"[0]", 1, 127, after("video/"), rule(path, form)),
	)
	for _, good := range []string{"image/svg+xml", "video/*", "application/vnd.ms-excel"} {
		rows = append(rows, allowed("type "+good, set(path, []any{good})))
	}
	for _, bad := range []string{"image", "Image/PNG", "*/*", "text/html; charset=utf-8", "image/p*"} {
		rows = append(rows, refused("type "+bad, set(path, []any{bad}), rule(path, form)))
	}
	return rows
}

func keyTemplateRows(path string) []row {
	const (
		noID  = "keyTemplate has no ${id}, so that two files could have one key: add it"
		plain = "keyTemplate is not a plain path: write it without a first /, without // and without .."
	)
	rows := append(text(path, 1, 512, after("${id}"), ruleOf(path, "", noID)),
		refused("keys without an id", set(path, "files/${owner}"), ruleOf(path, "files/${owner}", noID)),
		allowed("keys of all", set(path, "a/${owner}/${date}/${id}${ext}")))
	for _, bad := range []string{"/${id}", "a//${id}", "../${id}"} {
		rows = append(rows, refused("keys "+bad, set(path, bad), ruleOf(path, bad, plain)))
	}
	return rows
}
