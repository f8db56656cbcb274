//go:build integration

package api

import "slices"

const (
	onePod     = "engine Memory keeps rooms inside one pod, so replicas must be 1 or 0: set engine to Redis to run more"
	noScale    = "engine Memory keeps rooms inside one pod, so it can not scale: set engine to Redis, or remove scaling"
	noEngine   = "engine Memory uses no Engine: remove engineSelection, or set engine to Redis"
	noSinks    = "sinks are not served by RealtimeGateway in this version: remove sinks"
	noStateful = "delivery.mode Stateful keeps what a fail-over of a room needs in an engine: set engine to Redis, or the mode to PubSub"
	ttlBounds  = "ttl must be between 1s and 168h"
	oneKey     = "set exactly one of secretRef (shared secret) and jwksURL (public keys)"
)

func gatewayTables() []table {
	return []table{
		{name: "with nothing set", kind: "RealtimeGateway", base: `spec: {}`, rows: slices.Concat(
			nameRows(40, "the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"),
			patternRows(), gatewayMemoryRows())},
		{name: "on Redis", kind: "RealtimeGateway", base: `spec: {engine: Redis, replicas: 2}`,
			rows: slices.Concat(gatewayRows(), selectionRows("spec.engineSelection"))},
		{name: "scaling", kind: "RealtimeGateway", rows: gatewayScalingRows(),
			base: `spec: {engine: Redis, limits: {connections: 1000000}, scaling: {maxReplicas: 1000, connectionsPerReplica: 100}}`},
		{name: "sinks", kind: "RealtimeGateway", base: "spec:" + sinksBase, rows: sinkRows("dead"),
			alongside: []string{rule("spec", noSinks)}},
	}
}

func gatewayMemoryRows() []row {
	return []row{
		allowed("no spec at all", set("spec", nil)),
		allowed("no replica", set("spec.replicas", int64(0))),
		refused("two replicas", set("spec.replicas", int64(2)), rule("spec", onePod)),
		refused("two replicas, Memory said", patch(`spec: {engine: Memory, replicas: 2}`), rule("spec", onePod)),
		refused("scaling", patch(`spec: {scaling: {maxReplicas: 1, connectionsPerReplica: 1}}`), rule("spec", noScale)),
		refused("an engine selected", patch(`spec: {engineSelection: {sharing: Dedicated}}`), rule("spec", noEngine)),
		refused("an engine named", patch(`spec: {engine: Memory, engineSelection: {ref: {name: a}}}`), rule("spec", noEngine)),
		refused("Stateful", set("spec.delivery.mode", "Stateful"), rule("spec", noStateful)),
		refused("a sink", patch(`spec: {sinks: [{name: a, url: "http://example.com"}]}`), rule("spec", noSinks)),
		updated("to Redis", patch(`{}`), patch(`spec: {engine: Redis, replicas: 3}`)),
		updated("back to Memory with too many replicas", patch(`spec: {engine: Redis, replicas: 3}`), patch(`spec: {engine: Memory}`), rule("spec", onePod)),
	}
}

func gatewayRows() []row {
	const negative = ".spec.replicas: Invalid value: -1: should be a non-negative integer"
	replicas := number("spec.replicas", 0, 1000)
	replicas[2].want = append([]string{negative}, replicas[2].want...)
	protocols := []string{"Polling", "LongPolling", "SSE", "WebSocket"}
	return slices.Concat(
		replicas,
		choice("spec.engine", "Redis", "Memory")[:1],
		choice("spec.protocols[0]", protocols...),
		choice("spec.presence", "Enabled", "Disabled"),
		[]row{
			refused("spec.engine unknown", set("spec.engine", "NATS"), `spec.engine: Unsupported value: "NATS": supported values: "Memory", "Redis"`),
			some("spec.protocols"),
			refused("a protocol twice", set("spec.protocols", []any{"SSE", "SSE"}), duplicate("spec.protocols", "SSE")),
			crowded("spec.protocols", 4, "SSE", `"SSE"`),
			allowed("delivery by default", patch(`spec: {delivery: {}}`)),
			allowed("PubSub", set("spec.delivery.mode", "PubSub")),
			allowed("Stateful", set("spec.delivery.mode", "Stateful")),
			updated("to Stateful", patch(`{}`), set("spec.delivery.mode", "Stateful")),
			updated("back to PubSub", set("spec.delivery.mode", "Stateful"), set("spec.delivery.mode", "PubSub")),
			updated("Stateful in memory", patch(`spec: {replicas: 1, delivery: {mode: Stateful}}`), set("spec.engine", "Memory"), rule("spec", noStateful)),
			refused("playground unknown", set("spec.playground", "On"), `spec.playground: Unsupported value: "On": supported values: "Enabled", "Disabled"`),
			refused("delivery unknown", set("spec.delivery.mode", "Other"), `spec.delivery.mode: Unsupported value: "Other": supported values: "PubSub", "Stateful"`),
		},
		number("spec.history.size", 1, 10000),
		gatewayTTLRows(),
		number("spec.limits.connectionsPerClient", 1, 100000),
		number("spec.limits.roomsPerConnection", 1, 1000),
		number("spec.limits.messageBytes", 1, 1048576),
		number("spec.limits.publishPerSecond", 1, 1000000),
		number("spec.limits.connections", 1, 1000000),
	)
}

// durations is the pattern of all.
const durations = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`

func gatewayTTLRows() []row {
	const (
		path    = "spec.history.ttl"
		pattern = durations
		broken  = `spec.history.ttl: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: ` + ttlBounds
	)
	return []row{
		allowed("ttl lowest", set(path, "1s")),
		allowed("ttl highest", set(path, "168h")),
		allowed("ttl of parts", set(path, "1h30m0.5s")),
		refused("ttl too short", set(path, "999ms"), ruleOf(path, "999ms", ttlBounds)),
		refused("ttl too long", set(path, "168h1s"), ruleOf(path, "168h1s", ttlBounds)),
		refused("ttl of a unit that there is not", set(path, "7d"), broken, mismatch(path, "7d", pattern)),
		refused("ttl below 0", set(path, "-5m"), ruleOf(path, "-5m", ttlBounds), mismatch(path, "-5m", pattern)),
		refused("ttl that no clock can count", set(path, "99999999999999999999h"), broken),
		refused("ttl of too many characters", set(path, letters(33)), path+": Too long: may not be more than 32 bytes"),
	}
}

// selectionRows are of the choice of an Engine at a path.
func selectionRows(at string) []row {
	return slices.Concat(
		choice(at+".sharing", "Shared", "Dedicated"),
		text(at+".ref.name", 1, 63, letters),
		[]row{
			refused(at+" of nothing", patch(nest(at, "{ref: {}}")), at+".ref.name: Required value"),
			refused(at+" and sharing", patch(nest(at, "{ref: {name: a}, sharing: Shared}")),
				rule(at, "ref names an Engine, so sharing has no meaning: set one of them")),
		},
	)
}
