//go:build integration

package api

import "slices"

func engineTables() []table {
	return []table{
		{name: "provisioned", kind: "Engine", base: `spec: {type: Redis}`, rows: slices.Concat(
			nameRows(46, "the name must be lower case letters, digits and '-', 46 characters at most: other names are made from it"),
			patternRows(), engineRows(), engineUpdates())},
		{name: "exposed by an Ingress", kind: "Engine", rows: ingressRows("spec.provisioned.exposure"),
			base: `spec: {type: S3, provisioned: {exposure: {ingress: {host: objects.example.com}}}}`},
		{name: "exposed by a Gateway", kind: "Engine", rows: gatewayRefRows("spec.provisioned.exposure"),
			base: `spec: {type: S3, provisioned: {exposure: {gatewayRef: {name: public}}}}`},
		{name: "external", kind: "Engine", rows: engineExternalRows(),
			base: `spec: {type: Redis, external: {secretRef: {name: redis}}}`},
		{name: "sinks", kind: "Engine", base: "spec:\n  type: Redis" + sinksBase, rows: sinkRows("dead"),
			alongside: []string{rule("spec", "an Engine sends no events: remove sinks")}},
	}
}

func engineRows() []row {
	const odd = "replicas must be 1, 3 or 5: a fail-over needs the majority of an odd number"
	const oneStore = "an S3 that is run here is one server, which can not replicate: set replicas to 1, or use external with a store that is replicated"
	const inside = "only an engine of type S3 is reached from outside the cluster: remove provisioned.exposure, and expose the patterns that use the engine"
	return slices.Concat(
		required("spec", "spec.type"),
		text("spec.provisioned.image", 1, 512, letters),
		sizeRows("spec.provisioned.storage.size"),
		text("spec.provisioned.storage.storageClassName", 1, 253, letters),
		[]row{
			refused("an unknown type", set("spec.type", "Memory"), `spec.type: Unsupported value: "Memory": supported values: "NATS", "PostgreSQL", "Redis", "S3"`),
			allowed("one replica", set("spec.provisioned.replicas", int64(1))),
			allowed("five replicas", set("spec.provisioned.replicas", int64(5))),
			refused("two replicas", set("spec.provisioned.replicas", int64(2)), rule("spec", odd)),
			allowed("a PostgreSQL of two", patch(`spec: {type: PostgreSQL, provisioned: {replicas: 2}}`)),
			refused("three replicas of S3", patch(`spec: {type: S3, provisioned: {replicas: 3}}`), rule("spec", oneStore)),
			refused("a Redis that is exposed", patch(`spec: {provisioned: {exposure: {serviceType: NodePort}}}`), rule("spec", inside)),
			allowed("an S3 that is exposed", patch(`spec: {type: S3, provisioned: {exposure: {serviceType: NodePort}}}`)),
			refused("two replicas of NATS", patch(`spec: {type: NATS, provisioned: {replicas: 2}}`), rule("spec", odd)),
			refused("no replica", set("spec.provisioned.replicas", int64(0)), rule("spec", odd),
				"spec.provisioned.replicas: Invalid value: 0: spec.provisioned.replicas in body should be greater than or equal to 1"),
			refused("too many replicas", set("spec.provisioned.replicas", int64(8)), rule("spec", odd),
				"spec.provisioned.replicas: Invalid value: 8: spec.provisioned.replicas in body should be less than or equal to 7"),
			refused("provisioned and external", patch(`spec: {provisioned: {}, external: {secretRef: {name: redis}}}`),
				rule("spec", "an Engine is either provisioned or external: remove one of them")),
			refused("a sink", patch(`spec: {sinks: [{name: a, url: "http://example.com"}]}`),
				rule("spec", "an Engine sends no events: remove sinks")),
			allowed("no sinks", patch(`spec: {sinks: []}`)),
		},
	)
}

func engineUpdates() []row {
	const (
		shrunk  = "storage can grow and not shrink: set size as it was, or larger"
		taken   = "storage can grow and not be taken away: set it as it was, or larger"
		classed = "storageClassName can not be changed after creation: create another Engine and point your patterns at it"
		moved   = "an Engine can not change between provisioned and external: create another Engine and point your patterns at it"
	)
	const fewer = "replicas can not be lowered, as the primary may be on any of them: create another Engine and point your patterns at it"
	const alone = "a NATS of one can not become a cluster, which could not take over its data: create another Engine and point your patterns at it"
	const typed = "type can not be changed: create another Engine and point your patterns at it"
	replicas := func(n int64) change { return set("spec.provisioned.replicas", n) }
	sized := patch(`spec: {provisioned: {storage: {size: 1Gi, storageClassName: fast}}}`)
	none := patch(`{}`)
	external := patch(`spec: {external: {secretRef: {name: redis}}}`)
	return []row{
		updated("another image", sized, patch(`spec: {provisioned: {image: a}}`)),
		updated("the same storage", sized, sized),
		updated("a larger storage", sized, patch(`spec: {provisioned: {storage: {size: 2Gi}}}`)),
		updated("a smaller storage", sized, patch(`spec: {provisioned: {storage: {size: 1000Mi}}}`), rule("spec.provisioned.storage", shrunk)),
		updated("no size any more", sized, patch(`spec: {provisioned: {storage: {size: null}}}`), rule("spec.provisioned.storage", shrunk)),
		updated("a size that was not there", patch(`spec: {provisioned: {storage: {storageClassName: fast}}}`), sized),
		updated("another storage class", sized, patch(`spec: {provisioned: {storage: {storageClassName: slow}}}`), rule("spec.provisioned.storage", classed)),
		updated("a storage class that was not there", patch(`spec: {provisioned: {storage: {size: 1Gi}}}`), sized, rule("spec.provisioned.storage", classed)),
		updated("a storage that was not there", none, sized),
		updated("a storage that is not there any more", sized, patch(`spec: {provisioned: {storage: null}}`), rule("spec", taken)),
		updated("provisioned not there any more, with its storage", sized, patch(`spec: {provisioned: null}`), rule("spec", taken)),
		updated("provisioned with no storage not there any more", patch(`spec: {provisioned: {image: a}}`), patch(`spec: {provisioned: null}`)),
		updated("to external", none, external, rule("spec", moved)),
		updated("from external", external, patch(`spec: {external: null}`), rule("spec", moved)),
		updated("to another Secret", external, patch(`spec: {external: {secretRef: {name: other}}}`)),
		updated("an exposure that was not there", patch(`spec: {type: S3}`), patch(`spec: {provisioned: {exposure: {ingress: {host: a}}}}`)),
		updated("an exposure that is not there any more", patch(`spec: {type: S3, provisioned: {exposure: {ingress: {host: a}}}}`), patch(`spec: {provisioned: {exposure: null}}`)),
		updated("more replicas", replicas(1), replicas(3)),
		updated("fewer replicas", replicas(3), replicas(1), rule("spec", fewer)),
		updated("fewer read replicas", patch(`spec: {type: PostgreSQL, provisioned: {replicas: 3}}`), replicas(1)),
		updated("more replicas of a cluster of NATS", patch(`spec: {type: NATS, provisioned: {replicas: 3}}`), replicas(5)),
		updated("more replicas of a NATS of one", patch(`spec: {type: NATS, provisioned: {replicas: 1}}`), replicas(3), rule("spec", alone)),
		updated("another type", none, set("spec.type", "NATS"), ruleOf("spec.type", "NATS", typed)),
		updated("another class", none, patch(`spec: {className: other}`)),
	}
}

func engineExternalRows() []row {
	return slices.Concat(
		[]row{allowed("as it is", nil)},
		required("spec.external.secretRef", "spec.external.secretRef.name"),
		text("spec.external.secretRef.name", 1, 253, letters),
	)
}
