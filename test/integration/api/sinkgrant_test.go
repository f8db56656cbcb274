//go:build integration

package api

import "slices"

func sinkGrantTables() []table {
	return []table{{name: "all", kind: "SinkGrant", rows: sinkGrantRows(), base: `
spec:
  from: [{kind: JobQueue, namespace: exports}]
  to: [{kind: RealtimeGateway, name: screens}]
`}}
}

func sinkGrantRows() []row {
	const namespaced = "namespace must be the name of a namespace: lower case letters, digits and '-', 63 characters at most"
	from := func(int) any { return map[string]any{"kind": "JobQueue", "namespace": "a"} }
	to := func(int) any { return map[string]any{"kind": "RealtimeGateway"} }
	return slices.Concat(
		required("spec", "spec.from", "spec.to", "spec.from[0].kind", "spec.from[0].namespace", "spec.to[0].kind"),
		many("spec.from", 16, from, false), many("spec.to", 16, to, false),
		text("spec.from[0].kind", 1, 63, letters), text("spec.to[0].kind", 1, 63, letters), text("spec.to[0].name", 1, 63, letters),
		text("spec.from[0].namespace", 1, 63, letters, ruleOf("spec.from[0].namespace", "", namespaced)),
		[]row{
			some("spec.from"), some("spec.to"),
			allowed("all of a kind", set("spec.to[0].name", nil)),
			refused("all namespaces", set("spec.from[0].namespace", "*"), ruleOf("spec.from[0].namespace", "*", namespaced)),
		},
	)
}
