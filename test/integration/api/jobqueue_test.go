//go:build integration

package api

import (
	"fmt"
	"slices"
)

const (
	engineStays     = "engine can not be changed, as jobs do not move from one engine to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
	selectionStays  = "engineSelection can not be changed, as jobs do not move from one Engine to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
	classStays      = "className can not be changed while the Engine is the class's shared one, as jobs do not move to another: create another JobQueue, send new jobs there, and delete this one when its backlog is 0"
	oneDefault      = "exactly one priority must be the default, for jobs that name none: set default to true on one"
	workersScaled   = "scaling chooses the number of workers: remove worker.replicas; suspend stops all"
	pullScaled      = "with worker.pull no worker is run here, so there is nothing to scale: remove scaling, and scale your own workers by the backlog of GET /v1/stats"
	waitsUpsideDown = "backoff.initial is above backoff.max: lower it, or raise max"
)

// execBase is a queue with one worker.
const execBase = `{worker: {image: a, exec: {command: [a]}}}`

func jobTables() []table {
	const kind = "JobQueue"
	return []table{
		{name: "with a command", kind: kind, base: `spec: ` + execBase, rows: slices.Concat(
			nameRows(40, "the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"),
			patternRows(), selectionRows("spec.engineSelection"), jobRows(), jobUpdates(), jobRetryRows(), priorityRows(), workerRows())},
		{name: "over HTTP", kind: kind, base: `spec: {worker: {image: a, http: {port: 80}}}`, rows: workerHTTPRows()},
		{name: "in Kubernetes Jobs", kind: kind, base: `spec: {worker: {image: a, job: {command: [a]}}}`, rows: workerJobRows()},
		{name: "pulled", kind: kind, base: `spec: {worker: {pull: {}}}`, rows: workerPullRows()},
		{name: "scaling", kind: kind, rows: jobScalingRows(),
			base: `spec: {worker: {image: a, exec: {command: [a]}}, scaling: {maxReplicas: 1000}}`},
		{name: "schedules", kind: kind, rows: scheduleRows(),
			base: `spec: {worker: {pull: {}}, ordering: Key, schedules: [{name: a, cron: "@daily"}]}`},
		{name: "sinks", kind: kind, base: "spec:\n  worker: {pull: {}}" + sinksBase, rows: slices.Concat(sinkRows("dead"), []row{
			foreignType("a sink's types of a JobQueue are accepted, started, progress, succeeded, failed and dead: remove the others", "uploaded"),
		})},
		{name: "Ingress", kind: kind, rows: ingressRows("spec.exposure"),
			base: `spec: {worker: {pull: {}}, exposure: {ingress: {host: jobs.example.com}}}`},
		{name: "Gateway", kind: kind, rows: gatewayRefRows("spec.exposure"),
			base: `spec: {worker: {pull: {}}, exposure: {gatewayRef: {name: public}}}`},
	}
}

func jobRows() []row {
	return slices.Concat(
		required("spec", "spec.worker"),
		choice("spec.engine", "PostgreSQL", "NATS"),
		choice("spec.ordering", "None", "Key"),
		number("spec.replicas", 0, 100),
		number("spec.concurrency", 1, 100),
		durationRows("spec.timeout", "1s", "168h", "999ms", "168h1s", "timeout must be between 1s and 168h"),
		durationRows("spec.deadLetter.retention", "1m", "8760h", "59s", "8761h", "retention must be between 1m and 8760h"),
		durationRows("spec.results.ttl", "1m", "8760h", "59s", "8761h", "ttl must be between 1m and 8760h"),
		durationRows("spec.drain.timeout", "0s", "24h", "-1s", "24h1s", "timeout must be between 0s and 24h"),
		number("spec.results.maxBytes", 0, 1048576),
		number("spec.limits.payloadBytes", 1, 1048576),
		number("spec.limits.waiting", 1, 100000000),
		number("spec.rateLimit.perSecond", 1, 100000)[:2],
		[]row{
			refused("a rate of none", patch(`spec: {rateLimit: {}}`), "spec.rateLimit.perSecond: Required value"),
			refused("a rate too low", patch(`spec: {rateLimit: {perSecond: 0}}`),
				"spec.rateLimit.perSecond: Invalid value: 0: spec.rateLimit.perSecond in body should be greater than or equal to 1"),
			refused("a rate too high", patch(`spec: {rateLimit: {perSecond: 100001}}`),
				"spec.rateLimit.perSecond: Invalid value: 100001: spec.rateLimit.perSecond in body should be less than or equal to 100000"),
			allowed("a burst", patch(`spec: {rateLimit: {perSecond: 1, burst: 100000}}`)),
			refused("a burst of none", patch(`spec: {rateLimit: {perSecond: 1, burst: 0}}`),
				"spec.rateLimit.burst: Invalid value: 0: spec.rateLimit.burst in body should be greater than or equal to 1"),
			refused("too large a burst", patch(`spec: {rateLimit: {perSecond: 1, burst: 100001}}`),
				"spec.rateLimit.burst: Invalid value: 100001: spec.rateLimit.burst in body should be less than or equal to 100000"),
			allowed("paused", set("spec.paused", true)),
		},
	)
}

func jobUpdates() []row {
	none := patch(`{}`)
	return []row{
		updated("another engine", none, set("spec.engine", "NATS"), ruleOf("spec.engine", "NATS", engineStays)),
		updated("the same engine", none, set("spec.engine", "PostgreSQL")),
		updated("an Engine of its own", none, set("spec.engineSelection.sharing", "Dedicated"), rule("spec", selectionStays)),
		updated("another Engine", set("spec.engineSelection.ref.name", "a"), set("spec.engineSelection.ref.name", "b"), rule("spec", selectionStays)),
		updated("an Engine of its own no more", set("spec.engineSelection.sharing", "Dedicated"), set("spec.engineSelection", nil), rule("spec", selectionStays)),
		updated("the same Engine", set("spec.engineSelection.ref.name", "a"), set("spec.engineSelection.ref.name", "a")),
		updated("a class", none, set("spec.className", "b"), rule("spec", classStays)),
		updated("another class", set("spec.className", "a"), set("spec.className", "b"), rule("spec", classStays)),
		updated("no class", set("spec.className", "a"), set("spec.className", nil), rule("spec", classStays)),
		updated("another class, and a named Engine", set("spec.engineSelection.ref.name", "a"), set("spec.className", "b")),
		updated("another class, and an Engine of its own", set("spec.engineSelection.sharing", "Dedicated"), set("spec.className", "b")),
		updated("another worker", none, patch(`spec: {worker: {exec: null, http: {port: 80}}}`)),
		updated("ordering", none, set("spec.ordering", "Key")),
	}
}

func jobRetryRows() []row {
	const (
		on     = "spec.retry.retryOn"
		reason = "a reason is error, timeout, lost, exit:<code> or http:<status>, with * for the last digits, as in http:5*"
	)
	notCompared := rule("spec.retry.backoff", `"object": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: `+waitsUpsideDown)
	initial := durationRows("spec.retry.backoff.initial", "0s", "10m", "-1s", "24h1s", "initial must be between 0s and 24h")
	most := durationRows("spec.retry.backoff.max", "1s", "168h", "-1s", "168h1s", "max must be between 0s and 168h")
	rows := slices.Concat(
		number("spec.retry.maxAttempts", 1, 100),
		number("spec.retry.backoff.multiplierPercent", 100, 1000),
		number("spec.retry.backoff.jitterPercent", 0, 100),
		besides(besides(initial, 3, rule("spec.retry.backoff", waitsUpsideDown)), 4, notCompared),
		besides(besides(most, 2, rule("spec.retry.backoff", waitsUpsideDown)), 4, notCompared),
		many(on, 32, func(n int) any { return fmt.Sprintf("exit:%d", n) }, true),
		text(on+"[0]", 1, 63, letters, rule(on, reason))[1:],
		[]row{refused("waits that shrink", patch(`spec: {retry: {backoff: {initial: 1m, max: 1s}}}`), rule("spec.retry.backoff", waitsUpsideDown))},
	)
	for _, r := range []string{"error", "timeout", "lost", "exit:137", "exit:*", "http:503", "http:5*"} {
		rows = append(rows, allowed("reason "+r, set(on, []any{r})))
	}
	for _, r := range []string{"exit", "exit:1234", "http:*5", "Error", "exit:-1"} {
		rows = append(rows, refused("reason "+r, set(on, []any{r}), rule(on, reason)))
	}
	return rows
}

func priorityRows() []row {
	const (
		at   = "spec.priorities"
		name = "a priority's name is lower case letters, digits and '-', 63 characters at most"
	)
	several := func(n int) any { return map[string]any{"name": fmt.Sprintf("p%d", n), "default": n == 0} }
	rows := many(at, 8, several, true)
	rows[2].want = append(rows[2].want, rule(at, oneDefault))
	only := func(field string, value any) change {
		return set(at, []any{map[string]any{"name": "a", "default": true, field: value}})
	}
	return append(rows[:2],
		refused("priorities twice the same", patch(`spec: {priorities: [{name: a, default: true}, {name: a}]}`), duplicate(at, map[string]any{"name": "a"})),
		besides([]row{some(at)}, 0, rule(at, oneDefault))[0],
		allowed("a weight", only("weight", int64(100))),
		refused("a weight of none", only("weight", int64(0)), at+"[0].weight: Invalid value: 0: "+at+"[0].weight in body should be greater than or equal to 1"),
		refused("too large a weight", only("weight", int64(101)), at+"[0].weight: Invalid value: 101: "+at+"[0].weight in body should be less than or equal to 100"),
		refused("no name", patch(`spec: {priorities: [{default: true}]}`), at+"[0].name: Required value"),
		refused("an empty name", only("name", ""), ruleOf(at+"[0].name", "", name),
			at+`[0].name: Invalid value: "": `+at+`[0].name in body should be at least 1 chars long`),
		refused("a name that is none", only("name", "A"), ruleOf(at+"[0].name", "A", name)),
		refused("too long a name", only("name", letters(64)), at+"[0].name: Too long: may not be more than 63 bytes"),
		refused("no default", patch(`spec: {priorities: [{name: a}]}`), rule(at, oneDefault)),
		refused("two defaults", patch(`spec: {priorities: [{name: a, default: true}, {name: b, default: true}]}`), rule(at, oneDefault)),
	)
}

func jobScalingRows() []row {
	const at = "spec.scaling."
	return slices.Concat(
		besides(number(at+"minReplicas", 0, 1000), 3, rule("spec.scaling", minAboveMax)),
		number(at+"maxReplicas", 1, 1000),
		number(at+"backlogPerWorker", 1, 100000),
		durationRows(at+"scaleDownStabilization", "0s", "1h", "-1s", "1h1s", windowEnds),
		durationRows(at+"idleAfter", "1s", "24h", "999ms", "24h1s", "idleAfter must be between 1s and 24h"),
		[]row{
			refused("scaling without a most", set("spec.scaling.maxReplicas", nil), "spec.scaling.maxReplicas: Required value"),
			refused("bounds that exclude each other", patch(`spec: {scaling: {minReplicas: 5, maxReplicas: 4}}`), rule("spec.scaling", minAboveMax)),
			allowed("the number of workers by default", patch(`spec: {worker: {replicas: 1}}`)),
			refused("a number of workers", patch(`spec: {worker: {replicas: 2}}`), rule("spec", workersScaled)),
			refused("no worker to scale", patch(`spec: {worker: {image: null, exec: null, pull: {}}}`), rule("spec", pullScaled)),
		},
	)
}

// durationRows say that a field is a duration of low to high; below and above are just outside.
func durationRows(path, low, high, below, above, message string) []row {
	broken := path + `: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: ` + message
	under := []string{ruleOf(path, below, message)}
	if below[0] == '-' {
		under = append(under, mismatch(path, below, durations))
	}
	return []row{
		allowed(path+" shortest", set(path, low)),
		allowed(path+" longest", set(path, high)),
		refused(path+" too short", set(path, below), under...),
		refused(path+" too long", set(path, above), ruleOf(path, above, message)),
		refused(path+" of a unit that there is not", set(path, "1d"), broken, mismatch(path, "1d", durations)),
		refused(path+" of too many characters", set(path, letters(33)), path+": Too long: may not be more than 32 bytes"),
	}
}
