//go:build integration

package api

import (
	"fmt"
	"slices"
	"strings"
)

// Patterns of the schema, as their errors show them.
const (
	labelValue      = "a label's value is letters, digits, '-', '_' and '.', begins and ends with a letter or digit, 63 characters at most"
	quantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`
)

// nameRows are of the name of an object, from which other names are made.
func nameRows(most int, message string) []row {
	return []row{
		allowed("name of the most characters", set("metadata.name", letters(most))),
		refused("name of too many characters", set("metadata.name", letters(most+1)), rule("<nil>", message)),
		refused("name with a dot", set("metadata.name", "a.b"), rule("<nil>", message)),
	}
}

// patternRows are of the fields that all patterns share, but for sinks.
func patternRows() []row {
	const message = "className must be the name of a PatternClass: lower case letters, digits and '-', 63 characters at most"
	return slices.Concat(
		text("spec.className", 1, 63, letters, ruleOf("spec.className", "", message)),
		[]row{refused("spec.className not a name", set("spec.className", "Standard"), ruleOf("spec.className", "Standard", message))},
		choice("spec.deletionPolicy", "Retain", "Delete"),
		podRows("spec.podTemplate"),
	)
}

// podRows are of a PodTemplate at a path.
func podRows(at string) []row {
	const (
		reservedLabel      = "labels of trellis.dev and app.kubernetes.io are set by Trellis: use keys of your own"
		reservedAnnotation = "annotations of trellis.dev are set by Trellis: use keys of your own"
	)
	toleration := func(int) any { return map[string]any{"operator": "Exists"} }
	rows := slices.Concat(
		keys(at+".labels", 32),
		text(at+".labels.team", 0, 63, letters),
		keys(at+".annotations", 32),
		text(at+".annotations.note", 0, 4096, letters),
		keys(at+".nodeSelector", 32),
		text(at+".nodeSelector.disk", 0, 63, letters),
		many(at+".tolerations", 32, toleration, false),
		text(at+".priorityClassName", 1, 253, letters),
		many(at+".imagePullSecrets", 8, named(), true),
		text(at+".imagePullSecrets[0].name", 1, 253, letters),
		required(at+".imagePullSecrets[0].name"),
	)
	for field, key := range map[string]string{at + ".labels": "team", at + ".nodeSelector": "disk"} {
		rows = append(rows, refused(field+" not a label's value", set(field+"."+key, "-a"), ruleOf(field+"["+key+"]", "-a", labelValue)))
	}
	for _, key := range []string{"patterns.trellis.dev/name", "trellis.dev/x", "app.kubernetes.io/name"} {
		rows = append(rows, refused(at+".labels with "+key, set(at+".labels", map[string]any{key: "x"}), rule(at+".labels", reservedLabel)))
	}
	return append(rows,
		refused(at+".annotations with a reserved key", set(at+".annotations", map[string]any{"patterns.trellis.dev/config": "x"}),
			rule(at+".annotations", reservedAnnotation)),
		allowed(at+" with keys of others", patch(nest(at, `{labels: {example.com/team: a}, annotations: {prometheus.io/scrape: "true"}}`))))
}

// foreignType says that a sink's types are those of its own kind.
func foreignType(message, other string) row {
	return refused("a type of another kind", set("spec.sinks[0].types", []any{other}), rule("spec", message))
}

// sinkRows are of spec.sinks of a kind that sends events of a type.
func sinkRows(sent string) []row {
	const (
		exactlyOne = "a sink needs exactly one of ref and url"
		absolute   = "url must be an absolute http or https URL"
		secretive  = "url must hold no user and no password, as everybody who may read this object or the pods' configuration would see them: name a Secret with a bearer token in tokenSecret"
		naming     = "a sink's name is lower case letters, digits and '-', 63 characters at most"
		types      = "spec.sinks[0].types"
		namespaced = "namespace must be the name of a namespace: lower case letters, digits and '-', 63 characters at most"
		filledIn   = "a pattern's address and token are filled in by Trellis: set tokenSecret and caCertificates with url only"
		token      = "spec.sinks[0].tokenSecret"
		ca         = "spec.sinks[0].caCertificates"
	)
	rows := slices.Concat(
		many("spec.sinks", 16, named("url", "http://example.com"), true),
		text("spec.sinks[0].name", 1, 63, letters, ruleOf("spec.sinks[0].name", "", naming)),
		required("spec.sinks[0].name", "spec.sinks[1].ref.kind", "spec.sinks[1].ref.name"),
		text("spec.sinks[1].ref.kind", 1, 63, letters),
		text("spec.sinks[1].ref.name", 1, 63, letters),
		text("spec.sinks[0].url", 1, 2048, after("https://example.com/"), ruleOf("spec.sinks[0].url", "", absolute)),
		text("spec.sinks[0].filter", 1, 2048, letters),
		text("spec.sinks[0].mapping.subject", 1, 1024, letters),
		text("spec.sinks[0].mapping.data", 1, 4096, letters),
		text(token+".name", 1, 253, letters), text(token+".key", 1, 253, letters), required(token+".name", token+".key"),
		text(ca+".name", 1, 253, letters), text(ca+".key", 1, 253, letters), required(ca+".name"), choice(ca+".kind", "ConfigMap", "Secret"),
		text("spec.sinks[1].ref.namespace", 1, 63, letters, ruleOf("spec.sinks[1].ref.namespace", "", namespaced)),
		[]row{
			refused("a sink of a name that is no part of a path", set("spec.sinks[0].name", "../a"), ruleOf("spec.sinks[0].name", "../a", naming)),
			refused("a sink with neither", set("spec.sinks[0].url", nil), rule("spec.sinks[0]", exactlyOne)),
			refused("a sink with both", set("spec.sinks[1].url", "http://example.com"), rule("spec.sinks[1]", exactlyOne)),
			refused("a sink of another scheme", set("spec.sinks[0].url", "ftp://example.com"), ruleOf("spec.sinks[0].url", "ftp://example.com", absolute)),
			refused("a sink without a scheme", set("spec.sinks[0].url", "example.com"), ruleOf("spec.sinks[0].url", "example.com", absolute)),
			refused("a sink with a password", set("spec.sinks[0].url", "https://a:b@example.com"), ruleOf("spec.sinks[0].url", "https://a:b@example.com", secretive)),
			allowed("a sink with an @ in its path", set("spec.sinks[0].url", "https://example.com/@a?b=c@d")),
			some(types),
			allowed("a type", set(types, []any{sent})),
			refused("a type unknown", set(types, []any{"Other"}), types+`[0]: Unsupported value: "Other": supported values: `+sinkTypes),
			refused("a type twice", set(types, []any{sent, sent}), duplicate(types, sent)),
			crowded(types, 6, sent, fmt.Sprintf("%q", sent)),
			refused("a mapping of nothing", set("spec.sinks[0].mapping", map[string]any{}), rule("spec.sinks[0].mapping", "a mapping needs a subject, data, or both")),
			refused("another namespace that is none", set("spec.sinks[1].ref.namespace", "*"), ruleOf("spec.sinks[1].ref.namespace", "*", namespaced)),
			refused("a token for a pattern", set("spec.sinks[1].tokenSecret", map[string]any{"name": "a", "key": "b"}), rule("spec.sinks[1]", filledIn)),
			refused("certificates for a pattern", set("spec.sinks[1].caCertificates", map[string]any{"name": "a"}), rule("spec.sinks[1]", filledIn)),
		},
	)
	return rows
}

// sinkTypes are those of all kinds, as errors show them.
const sinkTypes = `"accepted", "started", "progress", "succeeded", "failed", "dead", "pending", "uploaded", "expired", "deleted", "orphaned"`

// sinksBase is a list of sinks, which some kinds refuse as a whole.
const sinksBase = `
  sinks:
  - {name: a, url: "http://example.com", tokenSecret: {name: a, key: b}, caCertificates: {name: a}}
  - {name: b, ref: {kind: RealtimeGateway, name: rooms}}
`

// sizeRows are of a Quantity of bytes at a path.
func sizeRows(path string) []row {
	message := path[strings.LastIndex(path, ".")+1:] + " must be above 0"
	return []row{
		allowed(path+" as a number", set(path, int64(1<<30))),
		allowed(path+" as a text", set(path, "1.5Gi")),
		refused(path+" of 0", set(path, int64(0)), rule(path, "0: "+message)),
		refused(path+" below 0", set(path, "-1Gi"), ruleOf(path, "-1Gi", message)),
		refused(path+" not a quantity", set(path, "1 GB"), mismatch(path, "1 GB", quantityPattern),
			rule(path, `"": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: `+message)),
	}
}

// nest puts YAML in flow style at a path.
func nest(path, flow string) string {
	parts := strings.Split(path, ".")
	return "{" + strings.Join(parts, ": {") + ": " + flow + strings.Repeat("}", len(parts))
}
