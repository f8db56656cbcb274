//go:build integration

package api

import (
	"fmt"
	"slices"
)

// bucketStays is why a bucket keeps its store and its ledger.
const bucketStays = " can not be changed, as files do not move from one store or ledger to another: create another BlobBucket, and delete this one when its files are no longer wanted"

const lockFromTheStart = "objectLock is given to a bucket when it is made or not at all: create another BlobBucket"

func blobTables() []table {
	const kind = "BlobBucket"
	return []table{
		{name: "minimal", kind: kind, base: `spec: {}`, rows: slices.Concat(
			nameRows(40, "the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"),
			patternRows(), selectionRows("spec.engineSelection"), selectionRows("spec.ledgerSelection"),
			bucketRows(), bucketUpdates(), originRows("spec.allowedOrigins"), downloadRows())},
		{name: "uploads", kind: kind, rows: uploadRows(),
			base: `spec: {uploads: {urlTTL: 1m, pendingTimeout: 720h, perOwner: {uploadsPerMinute: 1}}}`},
		{name: "KMS", kind: kind, base: `spec: {encryption: {algorithm: KMS}}`, rows: keyRows()},
		{name: "locked", kind: kind, base: `spec: {objectLock: {retention: {days: 1}}}`, rows: lockRows()},
		{name: "CORS", kind: kind, base: `spec: {cors: [{name: a, origins: ["*"]}]}`, rows: corsRows()},
		{name: "lifecycle", kind: kind, rows: lifecycleRows(),
			base: `spec: {lifecycle: [{name: a, expireNoncurrentAfter: 24h, transitions: [{storageClass: COLD}]}]}`},
		{name: "sinks", kind: kind, base: "spec:" + sinksBase, rows: slices.Concat(sinkRows("uploaded"), []row{
			foreignType("a sink's types of a BlobBucket are pending, uploaded, expired, deleted and orphaned: remove the others", "succeeded"),
		})},
		{name: "Ingress", kind: kind, rows: ingressRows("spec.exposure"),
			base: `spec: {exposure: {ingress: {host: files.example.com}}}`},
		{name: "Gateway", kind: kind, rows: gatewayRefRows("spec.exposure"),
			base: `spec: {exposure: {gatewayRef: {name: public}}}`},
	}
}

func bucketRows() []row {
	const (
		name    = "bucketName is lower case letters, digits and '-', 3 to 63 characters, and begins and ends with a letter or digit"
		adopted = "adopt takes over a bucket that is there: set bucketName to its name, or remove adopt"
	)
	rows := slices.Concat(
		besides(number("spec.replicas", 0, 100), 2, ".spec.replicas: Invalid value: -1: should be a non-negative integer"),
		text("spec.bucketName", 3, 63, letters, ruleOf("spec.bucketName", "", name)),
		choice("spec.versioning", "Enabled", "Suspended"),
		choice("spec.encryption.algorithm", "AES256", "KMS"),
		choice("spec.playground", "Enabled", "Disabled"),
		choice("spec.orphans.policy", "Report", "Delete"),
		durationRows("spec.orphans.interval", "1m", "720h", "59s", "720h1s", "interval must be between 1m and 720h"),
		durationRows("spec.orphans.grace", "1m", "8760h", "59s", "8761h", "grace must be between 1m and 8760h"),
		sizeRows("spec.quota"),
		[]row{
			refused("a bucket taken over without its name", set("spec.adopt", true), rule("spec", adopted)),
			allowed("a bucket taken over", patch(`spec: {adopt: true, bucketName: media}`)),
			allowed("no bucket taken over", set("spec.adopt", false)),
		},
	)
	for _, bad := range []string{"Media", "media.example", "-media", "media-", "me_dia"} {
		rows = append(rows, refused("bucket "+bad, set("spec.bucketName", bad), ruleOf("spec.bucketName", bad, name)))
	}
	return rows
}

func bucketUpdates() []row {
	none := patch(`{}`)
	lock := patch(`spec: {objectLock: {}}`)
	rows := []row{
		updated("another bucket", set("spec.bucketName", "aaa"), set("spec.bucketName", "bbb"), rule("spec", "bucketName"+bucketStays)),
		updated("a bucket by a name", none, set("spec.bucketName", "bbb"), rule("spec", "bucketName"+bucketStays)),
		updated("a bucket by no name", set("spec.bucketName", "aaa"), set("spec.bucketName", nil), rule("spec", "bucketName"+bucketStays)),
		updated("the same bucket", set("spec.bucketName", "aaa"), set("spec.replicas", int64(2))),
		updated("another class", set("spec.className", "a"), set("spec.className", "b"), rule("spec", "className"+bucketStays)),
		updated("a class", none, set("spec.className", "b"), rule("spec", "className"+bucketStays)),
		updated("no class", set("spec.className", "a"), set("spec.className", nil), rule("spec", "className"+bucketStays)),
		updated("a lock", none, lock, rule("spec", lockFromTheStart)),
		updated("a lock no more", lock, set("spec.objectLock", nil), rule("spec", lockFromTheStart)),
		updated("another retention", lock, patch(`spec: {objectLock: {retention: {days: 7}}}`)),
		updated("versions", none, set("spec.versioning", "Enabled")),
		updated("another template of keys", none, set("spec.uploads.keyTemplate", "other/${id}")),
	}
	for _, field := range []string{"engineSelection", "ledgerSelection"} {
		at := "spec." + field
		stays := rule("spec", field+bucketStays)
		rows = append(rows,
			updated(field+" of its own", none, set(at+".sharing", "Dedicated"), stays),
			updated(field+" of another name", set(at+".ref.name", "a"), set(at+".ref.name", "b"), stays),
			updated(field+" no more", set(at+".sharing", "Dedicated"), set(at, nil), stays),
			updated(field+" the same", set(at+".ref.name", "a"), set(at+".ref.name", "a")),
		)
	}
	return rows
}

func downloadRows() []row {
	const (
		url      = "spec.downloads.cdnBaseURL"
		absolute = "cdnBaseURL must be an absolute http or https URL without a user and a password"
	)
	rows := slices.Concat(
		text(url, 1, 2048, after("https://cdn.example.com/"), ruleOf(url, "", absolute)),
		durationRows("spec.downloads.urlTTL", "1m", "168h", "59s", "168h1s", "urlTTL must be between 1m and 168h"),
	)
	for _, bad := range []string{"cdn.example.com", "ftp://cdn.example.com", "https://a:b@cdn.example.com"} {
		rows = append(rows, refused("a CDN at "+bad, set(url, bad), ruleOf(url, bad, absolute)))
	}
	return rows
}

func keyRows() []row {
	const key = "spec.encryption.keyID"
	return append(text(key, 1, 2048, letters),
		refused("a key that is not used", patch(`spec: {encryption: {algorithm: AES256, keyID: a}}`),
			rule("spec.encryption", "keyID is of the algorithm KMS: set algorithm to KMS, or remove keyID")),
		refused("a key with the algorithm by default", patch(`spec: {encryption: {algorithm: null, keyID: a}}`),
			rule("spec.encryption", "keyID is of the algorithm KMS: set algorithm to KMS, or remove keyID")))
}

func lockRows() []row {
	const versions = "a bucket with objectLock keeps versions: set versioning to Enabled, or remove it"
	return slices.Concat(
		required("spec.objectLock.retention.days"),
		number("spec.objectLock.retention.days", 1, 36500),
		choice("spec.objectLock.retention.mode", "Governance", "Compliance"),
		[]row{
			allowed("versions", set("spec.versioning", "Enabled")),
			refused("no versions", set("spec.versioning", "Suspended"), rule("spec", versions)),
			allowed("a lock without a retention", set("spec.objectLock", map[string]any{})),
		},
	)
}

func corsRows() []row {
	const (
		at    = "spec.cors"
		first = at + "[0]."
	)
	header := func(n int) any { return fmt.Sprintf("X-%d", n) }
	return slices.Concat(
		many(at, 16, anyOrigin, true),
		ruleNameRows(first+"name"), required(first+"name", first+"origins"),
		originRows(first+"origins"), []row{some(first + "origins"), some(first + "methods")},
		choice(first+"methods[0]", "GET", "HEAD", "PUT", "POST", "DELETE"),
		[]row{crowded(first+"methods", 5, "GET", `"GET"`)},
		many(first+"headers", 32, header, true), text(first+"headers[0]", 1, 128, letters),
		many(first+"exposeHeaders", 32, header, true), text(first+"exposeHeaders[0]", 1, 128, letters),
		durationRows(first+"maxAge", "0s", "24h", "-1s", "24h1s", "maxAge must be between 0s and 24h"),
	)
}

// anyOrigin makes rules that differ by their names.
func anyOrigin(n int) any {
	return map[string]any{"name": fmt.Sprintf("item%d", n), "origins": []any{"*"}}
}

// ruleNameRows are of the name of a rule of CORS or of lifecycle.
func ruleNameRows(path string) []row {
	const naming = "a rule's name is lower case letters, digits and '-', 63 characters at most"
	return append(text(path, 1, 63, letters, ruleOf(path, "", naming)),
		refused(path+" that is none", set(path, "A b"), ruleOf(path, "A b", naming)))
}
