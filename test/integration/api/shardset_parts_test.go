//go:build integration

package api

import (
	"fmt"
	"slices"
)

func shardTemplateRows() []row {
	const (
		at      = "spec.template."
		taken   = "ports 8080 and 8081 are taken by the member beside the container: have the container listen at another one"
		ready   = "readyPath begins with / and has no blank, ? or #"
		ownOnes = "the resources of a shard are template.resources: remove podTemplate.resources"
	)
	argument := func(n int) any { return fmt.Sprint(n) }
	return slices.Concat(
		text(at+"image", 1, 512, letters),
		required(at+"image", at+"port"),
		many(at+"command", 64, argument, false), text(at+"command[0]", 1, 4096, letters),
		many(at+"args", 64, argument, false), text(at+"args[0]", 0, 4096, letters),
		envRowsAt("spec.template.env"),
		number(at+"port", 1, 65535),
		choice(at+"protocol", "HTTP", "H2C"),
		text(at+"readyPath", 1, 1024, after("/"), ruleOf(at+"readyPath", "", ready)),
		durationRows(at+"drainTimeout", "1s", "10m", "999ms", "10m1s", "drainTimeout must be between 1s and 10m"),
		number(at+"runAsUser", 1, 2147483647),
		podRows(at+"podTemplate"),
		[]row{
			refused("the member's port", set(at+"port", int64(8080)), rule(at+"port", "8080: "+taken)),
			refused("the member's other port", set(at+"port", int64(8081)), rule(at+"port", "8081: "+taken)),
			refused("a ready path with a query", set(at+"readyPath", "/ready?a"), ruleOf(at+"readyPath", "/ready?a", ready)),
			refused("resources in two places", patch(`spec: {template: {podTemplate: {resources: {}}}}`), rule("spec.template", ownOnes)),
		},
	)
}

func shardStorageRows() []row {
	const (
		at    = "spec.storage."
		mount = "mountPath is an absolute path without : and not /tmp, which is another volume: use one such as /data"
	)
	size := sizeRows(at + "size")
	rows := slices.Concat(size,
		text(at+"storageClassName", 1, 253, letters),
		text(at+"mountPath", 1, 1024, after("/"), ruleOf(at+"mountPath", "", mount)),
		[]row{
			updated("larger", set(at+"size", "1Gi"), set(at+"size", "2Gi")),
			updated("smaller", set(at+"size", "2Gi"), set(at+"size", "1Gi"), rule("spec.storage", storageShrinks)),
			updated("another class of storage", set(at+"storageClassName", "a"), set(at+"storageClassName", "b"), rule("spec.storage", storageClassStays)),
			updated("mounted elsewhere", patch(`{}`), set(at+"mountPath", "/elsewhere")),
			updated("none any more", patch(`{}`), set("spec.storage", nil), rule("spec", storageStays)),
		})
	for _, path := range []string{"data", "/", "/tmp", "/tmp/data", "/a:b"} {
		rows = append(rows, refused("mounted at "+path, set(at+"mountPath", path), ruleOf(at+"mountPath", path, mount)))
	}
	return rows
}

func shardRangeRows() []row {
	const (
		at     = "spec.range.splits"
		sorted = "splits are not in order: sort them, by the order of their bytes, the lowest first"
	)
	split := func(n int) any { return fmt.Sprintf("%04d", n) }
	return slices.Concat(
		many(at, 1023, split, true),
		text(at+"[0]", 1, 256, letters),
		required(at),
		[]row{
			some(at),
			refused("splits that are not in order", set(at, []any{"m", "g"}), rule(at, sorted)),
			allowed("splits in the order of their bytes", set(at, []any{"Z", "a", "é"})),
			refused("more ranges than partitions", func(obj map[string]any) {
				var splits []any
				for i := range 16 {
					splits = append(splits, split(i))
				}
				set("spec.partitions", int64(16))(obj)
				set(at, splits)(obj)
			}, rule("spec", splitsTooMany)),
			updated("other splits", patch(`{}`), set(at, []any{"g", "m"}), rule("spec", splitsStay)),
		},
	)
}

func shardDirectoryRows() []row {
	const at = "spec.directory."
	entries := func(n int) map[string]any {
		out := map[string]any{}
		for i := range n {
			out[fmt.Sprintf("key%d", i)] = int64(i)
		}
		return out
	}
	return slices.Concat(
		choice(at+"fallback", "Hash", "Refuse"),
		required(at+"entries"),
		[]row{
			allowed("the most entries", set(at+"entries", entries(1000))),
			refused("too many entries", set(at+"entries", entries(1001)), at+"entries: Too many: 1001: must have at most 1000 items"),
			refused("no entries", set(at+"entries", map[string]any{}), "spec.directory.entries: Invalid value: 0: spec.directory.entries in body should have at least 1 properties"),
			refused("too long a key", set(at+"entries", map[string]any{letters(257): int64(0)}), rule(at+"entries", keysTooLong)),
			refused("a partition below", set(at+"entries.a", int64(-1)), "spec.directory.entries.a: Invalid value: -1: spec.directory.entries.a in body should be greater than or equal to 0"),
			refused("a partition above", set(at+"entries.a", int64(16384)), "spec.directory.entries.a: Invalid value: 16384: spec.directory.entries.a in body should be less than or equal to 16383",
				rule("spec", entryNowhere)),
			refused("a partition that there is not", set(at+"entries.a", int64(1024)), rule("spec", entryNowhere)),
			updated("one more", patch(`{}`), set(at+"entries.b", int64(1))),
			updated("a fallback", patch(`{}`), set(at+"fallback", "Hash")),
			updated("another partition", patch(`{}`), set(at+"entries.a", int64(1)), rule("spec.directory", entriesStay)),
			updated("one less", set(at+"entries.b", int64(1)), set(at+"entries.b", nil), rule("spec.directory", entriesStay)),
			updated("one more of all that are hashed", set(at+"fallback", "Hash"), set(at+"entries.b", int64(1)), rule("spec.directory", hashedAlready)),
			updated("no fallback any more", set(at+"fallback", "Hash"), set(at+"fallback", "Refuse"), rule("spec.directory", hashedAlready)),
		},
	)
}

func shardHookRows() []row {
	const (
		at   = "spec.resharding.hook."
		mode = "mode Hook carries data over by resharding.hook, and None does not: set mode to Hook and hook.exportPath and hook.importPath, or set mode to None and remove hook"
	)
	rows := []row{
		refused("a hook of no use", set("spec.resharding.mode", "None"), rule("spec.resharding", mode)),
		refused("no hook", set("spec.resharding.hook", nil), rule("spec.resharding", mode)),
		refused("another mode", set("spec.resharding.mode", "Other"), `spec.resharding.mode: Unsupported value: "Other": supported values: "Hook", "None"`),
	}
	for _, field := range []string{"exportPath", "importPath"} {
		message := field + " begins with one / and has {partition} in it, and no blank or #: use one such as /partitions/{partition}"
		rows = slices.Concat(rows,
			text(at+field, 1, 1024, after("/{partition}"), ruleOf(at+field, "", message)),
			required(at+field),
			[]row{
				refused(field+" without a partition", set(at+field, "/all"), ruleOf(at+field, "/all", message)),
				refused(field+" of another host", set(at+field, "//a/{partition}"), ruleOf(at+field, "//a/{partition}", message)),
				refused(field+" with a blank", set(at+field, "/a {partition}"), ruleOf(at+field, "/a {partition}", message)),
				refused(field+" without a slash", set(at+field, "{partition}"), ruleOf(at+field, "{partition}", message)),
			})
	}
	return rows
}

func shardReshardingRows() []row {
	const at = "spec.resharding."
	return slices.Concat(
		number(at+"maxMoving", 1, 64),
		durationRows(at+"pauseLimit", "100ms", "10m", "99ms", "10m1s", "pauseLimit must be between 100ms and 10m"),
		number(at+"heldRequests", 0, 100000),
		[]row{allowed("paused", set(at+"paused", true))},
	)
}

func shardRouterRows() []row {
	const (
		at      = "spec.router."
		crossed = "minConcurrency is above maxConcurrency: lower it, or raise maxConcurrency"
	)
	least := number(at+"overload.minConcurrency", 1, 10000)
	least[1].change = patch(`spec: {router: {overload: {minConcurrency: 10000, maxConcurrency: 10000}}}`)
	least[3].want = append(least[3].want, rule(at+"overload", crossed))
	most := number(at+"overload.maxConcurrency", 1, 10000)
	most[0].change = patch(`spec: {router: {overload: {minConcurrency: 1, maxConcurrency: 1}}}`)
	most[2].want = append(most[2].want, rule(at+"overload", crossed))
	return slices.Concat(
		number(at+"replicas", 1, 100),
		choice(at+"authentication", "Token", "None"),
		durationRows(at+"timeouts.connect", "10ms", "1m", "9ms", "1m1s", "connect must be between 10ms and 1m"),
		durationRows(at+"timeouts.request", "100ms", "1h", "99ms", "1h1s", "request must be between 100ms and 1h"),
		number(at+"retries.attempts", 0, 10),
		number(at+"retries.budgetPercent", 1, 100),
		least, most,
		number(at+"overload.queue", 0, 10000),
		durationRows(at+"overload.queueTimeout", "10ms", "1m", "9ms", "1m1s", "queueTimeout must be between 10ms and 1m"),
		number(at+"overload.hotPartitionPercent", 1, 100),
		[]row{refused("bounds that cross", patch(`spec: {router: {overload: {minConcurrency: 20, maxConcurrency: 10}}}`), rule(at+"overload", crossed))},
	)
}

func shardPriorityRows() []row {
	const (
		at     = "spec.router.overload.priority"
		oneWay = "a request's class is named by a header or by an expression: set exactly one of priority.header and priority.expression"
		none   = "priority.defaultClass is none of priority.classes: name one of them"
		header = "priority.header is letters, digits and '-', and begins not with Trellis-: use one such as X-Priority"
		twice  = "priority.classes has a class twice: remove one"
	)
	class := func(n int) any { return fmt.Sprint(n) }
	expression := func(value string) change {
		return func(obj map[string]any) {
			set(at+".header", nil)(obj)
			set(at+".expression", value)(obj)
		}
	}
	fallback := func(value string) change {
		return func(obj map[string]any) {
			set(at+".classes", []any{value})(obj)
			set(at+".defaultClass", value)(obj)
		}
	}
	long := text(at+".classes[0]", 1, 63, letters)
	return slices.Concat(
		text(at+".header", 1, 128, letters, ruleOf(at+".header", "", header)),
		many(at+".classes", 8, class, false), long, required(at+".classes"),
		[]row{
			some(at + ".classes"),
			refused("a class twice", set(at+".classes", []any{"a", "b", "a"}), rule(at+".classes", twice)),
			refused("a header of Trellis's own", set(at+".header", "Trellis-Class"), ruleOf(at+".header", "Trellis-Class", header)),
			refused("neither", set(at+".header", nil), rule(at, oneWay)),
			refused("both", set(at+".expression", "'a'"), rule(at, oneWay)),
			allowed("the longest expression", expression(letters(4096))),
			refused("too long an expression", expression(letters(4097)), at+".expression: Too long: may not be more than 4096 bytes"),
			refused("an empty expression", expression(""), at+`.expression: Invalid value: "": `+at+".expression in body should be at least 1 chars long"),
			allowed("the longest class of those that name none", fallback(letters(63))),
			refused("too long a class of those that name none", set(at+".defaultClass", letters(64)), at+".defaultClass: Too long: may not be more than 63 bytes"),
			refused("no class of those that name none", set(at+".defaultClass", ""), at+`.defaultClass: Invalid value: "": `+at+".defaultClass in body should be at least 1 chars long",
				rule(at, none)),
			refused("a class that there is not", set(at+".defaultClass", "c"), rule(at, none)),
		},
	)
}
