//go:build integration

package api

import "slices"

const classBase = `
spec:
  plane: {version: v0.1.0}
  engines:
  - {type: Redis, image: "docker.io/valkey/valkey:8.1"}
`

func classTables() []table {
	return []table{
		{name: "provisioned", kind: "PatternClass", base: classBase, rows: slices.Concat(
			nameRows(40, "the name must be lower case letters, digits and '-', 40 characters at most: other names are made from it"),
			classRows(), classEngineRows(), podRows("spec.podDefaults"))},
		{name: "external", kind: "PatternClass", rows: classExternalRows(), base: `
spec:
  plane: {version: v0.1.0}
  engines:
  - type: Redis
    external: {secretRef: {namespace: platform, name: redis}}
`},
	}
}

func classRows() []row {
	const tagAlone = "version is the image's tag alone, e.g. v0.1.0: letters, digits, '_', '.' and '-', and no '.' or '-' at its beginning"
	return slices.Concat(
		required("spec", "spec.plane", "spec.plane.version"),
		text("spec.plane.image", 1, 512, letters),
		text("spec.plane.version", 1, 128, letters, ruleOf("spec.plane.version", "", tagAlone)),
		choice("spec.deletionPolicy", "Retain", "Delete"),
		choice("spec.updatePolicy", "Manual", "Automatic"),
		number("spec.limits.maxReplicas", 1, 1000),
		sizeRows("spec.limits.maxStorage"),
		choice("spec.limits.allowedEngines[0]", "Memory", "NATS", "PostgreSQL", "Redis", "S3"),
		[]row{
			refused("a version that is no tag", set("spec.plane.version", "v1 beta"), ruleOf("spec.plane.version", "v1 beta", tagAlone)),
			some("spec.limits.allowedEngines"),
			crowded("spec.limits.allowedEngines", 8, "Redis", `"Redis"`),
			crowded("spec.engines", 8, map[string]any{"type": "Redis", "image": "a"}, `{"type":"Redis"}`),
			refused("an allowed engine twice", set("spec.limits.allowedEngines", []any{"Redis", "Redis"}), duplicate("spec.limits.allowedEngines", "Redis")),
			allowed("no engines", set("spec.engines", nil)),
			allowed("all of it changed", patch(`spec: {plane: {version: v2}, engines: null, limits: {maxReplicas: 3}}`)),
		},
	)
}

func classEngineRows() []row {
	const (
		external = "an external engine is not run by Trellis: remove image, replicas, storage and resources, or remove external"
		neither  = "set image to have this engine run in the pattern's namespace, or external to point at one that runs elsewhere"
		replicas = "replicas must be 1, 3 or 5: a fail-over needs the majority of an odd number"
		oneStore = "an S3 that is run here is one server, which can not replicate: set replicas to 1, or external to a store that is replicated"
	)
	ref := `{secretRef: {namespace: platform, name: redis}}`
	with := func(fields string) change {
		return patch(`spec: {engines: [{type: Redis, ` + fields + `}]}`)
	}
	return slices.Concat(
		required("spec.engines[0].type"),
		text("spec.engines[0].image", 1, 512, letters),
		sizeRows("spec.engines[0].storage.size"),
		text("spec.engines[0].storage.storageClassName", 1, 253, letters),
		[]row{
			refused("a policy for the playground unknown", set("spec.plane.playground", "Disabled"), `spec.plane.playground: Unsupported value: "Disabled": supported values: "Allowed", "Enabled", "Forbidden"`),
			refused("an unknown engine", set("spec.engines[0].type", "Memory"), `spec.engines[0].type: Unsupported value: "Memory": supported values: "NATS", "PostgreSQL", "Redis", "S3"`),
			refused("an engine twice", patch(`spec: {engines: [{type: Redis, image: a}, {type: Redis, image: a}]}`),
				`spec.engines[1]: Duplicate value: {"type":"Redis"}`),
			refused("external and image", with(`image: a, external: `+ref), rule("spec.engines[0]", external)),
			refused("external and replicas", with(`replicas: 1, external: `+ref), rule("spec.engines[0]", external)),
			refused("external and storage", with(`storage: {size: 1Gi}, external: `+ref), rule("spec.engines[0]", external)),
			refused("external and resources", with(`resources: {}, external: `+ref), rule("spec.engines[0]", external)),
			refused("neither image nor external", with(`replicas: 1`), rule("spec.engines[0]", neither)),
			allowed("one replica", with(`image: a, replicas: 1`)),
			allowed("a PostgreSQL of two", patch(`spec: {engines: [{type: PostgreSQL, image: a, replicas: 2}]}`)),
			allowed("three replicas", with(`image: a, replicas: 3`)),
			refused("three replicas of S3", patch(`spec: {engines: [{type: S3, image: a, replicas: 3}]}`), rule("spec.engines[0]", oneStore)),
			refused("two replicas", with(`image: a, replicas: 2`), rule("spec.engines[0]", replicas)),
			refused("no replica", with(`image: a, replicas: 0`), rule("spec.engines[0]", replicas),
				"spec.engines[0].replicas: Invalid value: 0: spec.engines[0].replicas in body should be greater than or equal to 1"),
			refused("too many replicas", with(`image: a, replicas: 8`), rule("spec.engines[0]", replicas),
				"spec.engines[0].replicas: Invalid value: 8: spec.engines[0].replicas in body should be less than or equal to 7"),
		},
	)
}

func classExternalRows() []row {
	const ref = "spec.engines[0].external.secretRef"
	return slices.Concat(
		[]row{allowed("as it is", nil)},
		required("spec.engines[0].external.secretRef", ref+".namespace", ref+".name"),
		text(ref+".namespace", 1, 63, letters),
		text(ref+".name", 1, 253, letters),
	)
}
