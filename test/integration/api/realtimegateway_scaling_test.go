//go:build integration

package api

import "slices"

const (
	minAboveMax = "minReplicas is above maxReplicas: lower it, or raise maxReplicas"
	twoNumbers  = "scaling chooses the number of replicas: remove replicas, or set one from minReplicas to maxReplicas to start with; suspend stops all"
	tooManyEach = "scaling.connectionsPerReplica is above limits.connections, so replicas would turn clients away before there are more: lower it, or raise limits.connections"
	windowEnds  = "scaleDownStabilization must be between 0s and 1h"
)

func gatewayScalingRows() []row {
	return slices.Concat(
		besides(number("spec.scaling.minReplicas", 1, 1000), 3, rule("spec.scaling", minAboveMax)),
		besides(number("spec.scaling.maxReplicas", 1, 1000), 2, rule("spec.scaling", minAboveMax)),
		besides(number("spec.scaling.connectionsPerReplica", 1, 1000000), 3, rule("spec", tooManyEach)),
		[]row{
			refused("scaling without a most", set("spec.scaling.maxReplicas", nil), "spec.scaling.maxReplicas: Required value"),
			refused("scaling without a load", set("spec.scaling.connectionsPerReplica", nil), "spec.scaling.connectionsPerReplica: Required value"),
			refused("bounds that exclude each other", patch(`spec: {scaling: {minReplicas: 5, maxReplicas: 4}}`), rule("spec.scaling", minAboveMax)),
			allowed("bounds that are the same", patch(`spec: {scaling: {minReplicas: 4, maxReplicas: 4}}`)),
			allowed("a number to start with", patch(`spec: {replicas: 3, scaling: {minReplicas: 2, maxReplicas: 4}}`)),
			allowed("the number by default", patch(`spec: {replicas: 1, scaling: {minReplicas: 2, maxReplicas: 4}}`)),
			refused("a number above the most", patch(`spec: {replicas: 5, scaling: {maxReplicas: 4}}`), rule("spec", twoNumbers)),
			refused("a number below the fewest", patch(`spec: {replicas: 2, scaling: {minReplicas: 3, maxReplicas: 4}}`), rule("spec", twoNumbers)),
			refused("no replica", patch(`spec: {replicas: 0, scaling: {maxReplicas: 4}}`), rule("spec", twoNumbers)),
			refused("more than a replica takes", patch(`spec: {limits: {connections: 99}}`), rule("spec", tooManyEach)),
			allowed("as many as a replica takes", patch(`spec: {limits: {connections: 100}}`)),
		},
		windowRows(),
	)
}

func windowRows() []row {
	const (
		path   = "spec.scaling.scaleDownStabilization"
		broken = path + `: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: ` + windowEnds
	)
	return []row{
		allowed("window shortest", set(path, "0s")),
		allowed("window longest", set(path, "1h")),
		refused("window too long", set(path, "1h1s"), ruleOf(path, "1h1s", windowEnds)),
		refused("window of a unit that there is not", set(path, "1d"), broken, mismatch(path, "1d", durations)),
		refused("window of too many characters", set(path, letters(33)), path+": Too long: may not be more than 32 bytes"),
	}
}

// besides adds an error to the nth row.
func besides(rows []row, nth int, also string) []row {
	rows[nth].want = append(rows[nth].want, also)
	return rows
}
