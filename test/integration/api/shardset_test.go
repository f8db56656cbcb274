//go:build integration

package api

import (
	"fmt"
	"slices"
	"strings"
)

const (
	shardsTooMany     = "shards are more than partitions, so that some would own none: lower shards to the number of partitions at most"
	rangeOfRange      = "range is of the strategy Range, which needs it: set strategy to Range and range.splits, or remove range"
	directoryOf       = "directory is of the strategy Directory, which needs it: set strategy to Directory and directory.entries, or remove directory"
	splitsTooMany     = "range.splits make more ranges than there are partitions: remove some, or make the ShardSet with more partitions"
	entryNowhere      = "an entry of the directory names a partition that does not exist: partitions are counted from 0, use a number below spec.partitions"
	splitsStay        = "range.splits can not be changed, as keys would be in other partitions than their data: create another ShardSet with the splits that you need, and move the data; to move a range to another shard, pin its partition"
	pinNowhere        = "a pin names a partition that does not exist: partitions are counted from 0, use a number below spec.partitions"
	pinOfNobody       = "a pin names a shard that does not exist: shards are counted from 0, use a number below spec.shards, or remove the pin before that shard goes"
	weightOfNobody    = "a weight names a shard that does not exist: shards are counted from 0, use a number below spec.shards, or remove the weight before that shard goes"
	storageStays      = "storage is given to shards when they are made or not at all: create another ShardSet, and move the data"
	claimUnverified   = "key.jwtClaim is a claim of a token that the router has verified, and router.authentication is None: set it to Token, or take the key from elsewhere"
	noEvents          = "a ShardSet sends no events: remove sinks"
	powerOfTwo        = "partitions must be a power of two: use 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192 or 16384"
	partitionsStay    = "partitions can not be changed, as keys would be in other partitions than their data: create another ShardSet, and move the data"
	storageShrinks    = "storage can grow and not shrink: set size as it was, or larger"
	storageClassStays = "storageClassName can not be changed after creation: create another ShardSet, and move the data"
	keyStays          = "where the key is can not be changed, as requests would reach other shards than their data: create another ShardSet, and move the data"
	strategyStays     = "strategy can not be changed, as keys would be in other partitions than their data: create another ShardSet with the strategy that you need, and move the data"
	entriesStay       = "an entry of the directory can not be changed or removed, as the data of its key would stay behind: pin its partition to the shard where it is to be, or create another ShardSet and move the data"
	hashedAlready     = "with fallback Hash every key is in a partition already, and the data of a new entry's key would stay behind: pin the key's partition, or create another ShardSet and move the data"
	keysTooLong       = "a key of the directory is longer than 256 characters, or empty: shorten it"
	oneShard          = "there is one shard at least: to stop all of them set suspend to true, which changes nothing of who owns what"
	shardsOwnDomain   = "a domain names this ShardSet itself, and requests would go round: remove it, or name another"
)

// shardBase is a ShardSet with what more says besides.
func shardBase(more string) string {
	return `spec: {key: {header: X-Key}, template: {image: a, port: 9000}, resharding: {mode: None}` + more + `}`
}

// shardDefaults are what a ShardSet has that says nothing of it, but for its strategy.
const shardDefaults = `
shards: 1
partitions: 1024
key: {header: X-Key, maxBytes: 1024}
template: {image: a, port: 9000, protocol: HTTP, drainTimeout: 30s, runAsUser: 65532}
placement: {zones: Preferred, antiAffinity: Preferred}
router:
  replicas: 2
  authentication: Token
  timeouts: {connect: 1s, request: 30s}
  retries: {attempts: 2, budgetPercent: 20}
  overload: {minConcurrency: 4, maxConcurrency: 1000, queue: 100, queueTimeout: 1s, hotPartitionPercent: 20}
resharding: {mode: None, maxMoving: 1, pauseLimit: 10s, heldRequests: 1000}
`

func shardTables() []table {
	const kind = "ShardSet"
	return []table{
		{name: "by hash", kind: kind, base: shardBase(""), rows: slices.Concat(
			nameRows(40, "the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"),
			patternRows(), shardRows(), shardUpdates(), shardPlaceRows(), shardTemplateRows(), shardRouterRows(), shardReshardingRows(), domainRows())},
		{name: "priority", kind: kind, rows: shardPriorityRows(),
			base: shardBase(`, router: {overload: {priority: {header: X-Priority, classes: [a, b]}}}`)},
		{name: "storage", kind: kind, rows: shardStorageRows(), base: shardBase(`, storage: {}`)},
		{name: "by range", kind: kind, rows: shardRangeRows(), base: shardBase(`, strategy: Range, range: {splits: [m]}`)},
		{name: "by directory", kind: kind, rows: shardDirectoryRows(), base: shardBase(`, strategy: Directory, directory: {entries: {a: 0}}`)},
		{name: "hook", kind: kind, rows: shardHookRows(),
			base: `spec: {key: {header: X-Key}, template: {image: a, port: 9000}, resharding: {mode: Hook, hook: {exportPath: "/{partition}", importPath: "/{partition}"}}}`},
		{name: "keys", kind: kind, base: shardBase(""), rows: shardKeyRows()},
		{name: "sinks", kind: kind, alongside: []string{rule("spec", noEvents)}, rows: sinkRows("dead"),
			base: "spec:\n  key: {header: X-Key}\n  template: {image: a, port: 9000}\n  resharding: {mode: None}" + sinksBase},
		{name: "Ingress", kind: kind, rows: ingressRows("spec.exposure"), base: shardBase(`, exposure: {ingress: {host: shards.example.com}}`)},
		{name: "Gateway", kind: kind, rows: gatewayRefRows("spec.exposure"), base: shardBase(`, exposure: {gatewayRef: {name: public}}`)},
	}
}

func shardRows() []row {
	replicas := besides(number("spec.shards", 1, 100), 2, rule("spec.shards", "0: "+oneShard))
	return slices.Concat(
		required("spec", "spec.key", "spec.template", "spec.resharding", "spec.resharding.mode"),
		replicas,
		besides(besides(number("spec.partitions", 16, 16384), 2, rule("spec.partitions", "15: "+powerOfTwo)), 3, rule("spec.partitions", "16385: "+powerOfTwo)),
		[]row{
			refused("partitions that are no power of two", set("spec.partitions", int64(1000)), rule("spec.partitions", "1000: "+powerOfTwo)),
			refused("more shards than partitions", patch(`spec: {shards: 17, partitions: 16}`), rule("spec", shardsTooMany)),
			refused("another strategy", set("spec.strategy", "Other"), `spec.strategy: Unsupported value: "Other": supported values: "Hash", "Range", "Directory"`),
			refused("no range", set("spec.strategy", "Range"), rule("spec", rangeOfRange)),
			refused("a range of no use", set("spec.range.splits", []any{"m"}), rule("spec", rangeOfRange)),
			refused("no directory", set("spec.strategy", "Directory"), rule("spec", directoryOf)),
			refused("a directory of no use", patch(`spec: {directory: {entries: {a: 0}}}`), rule("spec", directoryOf)),
			refused("events", patch(`spec: {sinks: [{name: a, url: "http://example.com"}]}`), rule("spec", noEvents)),
			allowed("no events", patch(`spec: {sinks: []}`)),
		},
	)
}

func shardUpdates() []row {
	none := patch(`{}`)
	return []row{
		updated("more shards", none, set("spec.shards", int64(9))),
		updated("other partitions", none, set("spec.partitions", int64(64)), rule("spec.partitions", "64: "+partitionsStay)),
		updated("another key", none, set("spec.key.header", "X-Other"), rule("spec.key", keyStays)),
		updated("longer keys", none, set("spec.key.maxBytes", int64(2048))),
		updated("another place of the key", none, patch(`spec: {key: {header: null, query: a}}`), rule("spec.key", keyStays)),
		updated("another strategy", none, patch(`spec: {strategy: Range, range: {splits: [m]}}`),
			ruleOf("spec.strategy", "Range", strategyStays), rule("spec", splitsStay)),
		updated("storage", none, patch(`spec: {storage: {size: 1Gi}}`), rule("spec", storageStays)),
		updated("another image", none, set("spec.template.image", "b")),
		updated("a pinned shard goes", patch(`spec: {shards: 2, pins: [{partition: 0, shard: 1}]}`), set("spec.shards", int64(1)), rule("spec", pinOfNobody)),
		updated("a weighted shard goes", patch(`spec: {shards: 2, weights: [{shard: 1, weight: 2}]}`), set("spec.shards", int64(1)), rule("spec", weightOfNobody)),
	}
}

// shardPlaceRows are of pins, weights and the placement on nodes.
func shardPlaceRows() []row {
	list := func(field, item string, n int) change {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(item, i)
		}
		return patch(fmt.Sprintf(`spec: {shards: 100, %s: [%s]}`, field, strings.Join(items, ", ")))
	}
	pin, weight := `{partition: %d, shard: 0}`, `{shard: %d, weight: 2}`
	between := func(path string, value, least, most int64) []string {
		if value < least {
			return []string{fmt.Sprintf("%s: Invalid value: %d: %s in body should be greater than or equal to %d", path, value, path, least)}
		}
		return []string{fmt.Sprintf("%s: Invalid value: %d: %s in body should be less than or equal to %d", path, value, path, most)}
	}
	return slices.Concat(choice("spec.placement.zones", "Preferred", "Required"), choice("spec.placement.antiAffinity", "Preferred", "Required"), []row{
		allowed("pins", list("pins", pin, 100)),
		refused("too many pins", list("pins", pin, 101), "spec.pins: Too many: 101: must have at most 100 items"),
		refused("a partition pinned twice", patch(`spec: {pins: [{partition: 1, shard: 0}, {partition: 1, shard: 0}]}`), `spec.pins[1]: Duplicate value: {"partition":1}`),
		refused("a pin of no partition", patch(`spec: {pins: [{shard: 0}]}`), "spec.pins[0].partition: Required value"),
		refused("a pin to no shard", patch(`spec: {pins: [{partition: 0}]}`), "spec.pins[0].shard: Required value"),
		refused("a pin below", patch(`spec: {pins: [{partition: -1, shard: 0}]}`), between("spec.pins[0].partition", -1, 0, 16383)...),
		refused("a pin above", patch(`spec: {pins: [{partition: 16384, shard: 0}]}`), append(between("spec.pins[0].partition", 16384, 0, 16383), rule("spec", pinNowhere))...),
		refused("a pin to a shard below", patch(`spec: {pins: [{partition: 0, shard: -1}]}`), between("spec.pins[0].shard", -1, 0, 99)...),
		refused("a pin to a shard above", patch(`spec: {pins: [{partition: 0, shard: 100}]}`), append(between("spec.pins[0].shard", 100, 0, 99), rule("spec", pinOfNobody))...),
		refused("a pin of a partition that there is not", patch(`spec: {pins: [{partition: 1024, shard: 0}]}`), rule("spec", pinNowhere)),
		refused("a pin to a shard that there is not", patch(`spec: {pins: [{partition: 0, shard: 1}]}`), rule("spec", pinOfNobody)),
		allowed("weights", list("weights", weight, 100)),
		refused("too many weights", patch(`spec: {weights: [`+strings.TrimSuffix(strings.Repeat(`{shard: 0, weight: 2}, `, 101), ", ")+`]}`),
			"spec.weights: Too many: 101: must have at most 100 items", `spec.weights[1]: Duplicate value: {"shard":0}`),
		refused("a shard with two weights", patch(`spec: {weights: [{shard: 0, weight: 2}, {shard: 0, weight: 3}]}`), `spec.weights[1]: Duplicate value: {"shard":0}`),
		refused("a weight of no shard", patch(`spec: {weights: [{weight: 2}]}`), "spec.weights[0].shard: Required value"),
		refused("no weight", patch(`spec: {weights: [{shard: 0}]}`), "spec.weights[0].weight: Required value"),
		refused("a weight of a shard below", patch(`spec: {weights: [{shard: -1, weight: 2}]}`), between("spec.weights[0].shard", -1, 0, 99)...),
		refused("a weight of a shard above", patch(`spec: {weights: [{shard: 100, weight: 2}]}`), append(between("spec.weights[0].shard", 100, 0, 99), rule("spec", weightOfNobody))...),
		refused("a weight of none", patch(`spec: {weights: [{shard: 0, weight: 0}]}`), between("spec.weights[0].weight", 0, 1, 100)...),
		refused("too large a weight", patch(`spec: {weights: [{shard: 0, weight: 101}]}`), between("spec.weights[0].weight", 101, 1, 100)...),
		refused("a weight of a shard that there is not", patch(`spec: {weights: [{shard: 1, weight: 2}]}`), rule("spec", weightOfNobody)),
	})
}

func domainRows() []row {
	const (
		at     = "spec.domains"
		prefix = "pathPrefix begins and ends with /, has no blank, ? or #, and is not Trellis's own /.trellis/: use one such as /orders/"
		naming = "a domain's name is that of a ShardSet of this namespace: lower case letters, digits and '-', 40 characters at most"
	)
	one := func(n int) any { return map[string]any{"pathPrefix": fmt.Sprintf("/a%d/", n), "name": "other"} }
	rows := many(at, 16, one, true)
	rows[2].want = []string{at + `[1]: Duplicate value: {"pathPrefix":"/a0/"}`}
	domain := func(path, name string) change {
		return set(at, []any{map[string]any{"pathPrefix": path, "name": name}})
	}
	rows = append(rows,
		allowed("the longest prefix", domain("/"+letters(254)+"/", "other")),
		refused("too long a prefix", domain("/"+letters(255)+"/", "other"), at+"[0].pathPrefix: Too long: may not be more than 256 bytes"),
		refused("an empty prefix", domain("", "other"), at+`[0].pathPrefix: Invalid value: "": `+at+"[0].pathPrefix in body should be at least 1 chars long",
			ruleOf(at+"[0].pathPrefix", "", prefix)),
		refused("no prefix", patch(`spec: {domains: [{name: other}]}`), at+"[0].pathPrefix: Required value"),
		refused("no ShardSet", patch(`spec: {domains: [{pathPrefix: /a/}]}`), at+"[0].name: Required value"),
		allowed("the longest name", domain("/a/", letters(40))),
		refused("too long a name", domain("/a/", letters(41)), at+"[0].name: Too long: may not be more than 40 bytes"),
		refused("an empty name", domain("/a/", ""), at+`[0].name: Invalid value: "": `+at+"[0].name in body should be at least 1 chars long",
			ruleOf(at+"[0].name", "", naming)),
		refused("a name with a dot", domain("/a/", "a.b"), ruleOf(at+"[0].name", "a.b", naming)),
		refused("its own name", domain("/a/", "base"), rule("<nil>", shardsOwnDomain)))
	for _, path := range []string{"/", "/a", "a/", "//", "/a?b/", "/.trellis/v1/"} {
		rows = append(rows, refused("prefix "+path, domain(path, "other"), ruleOf(at+"[0].pathPrefix", path, prefix)))
	}
	return rows
}
