//go:build integration

package api

import (
	"fmt"
	"slices"
)

// accessTables are of who may use a gateway and from where it is reached.
func accessTables() []table {
	return []table{
		{name: "auth by a Secret", kind: "RealtimeGateway", rows: authRows(),
			base: `spec: {auth: {jwt: {secretRef: {name: a, key: b}}, anonymous: {rooms: [a]}}}`},
		{name: "auth by a JWKS", kind: "RealtimeGateway", rows: jwksRows(),
			base: `spec: {auth: {jwt: {jwksURL: "https://example.com/keys"}}}`},
		{name: "Ingress", kind: "RealtimeGateway", rows: ingressRows("spec.exposure"),
			base: `spec: {exposure: {ingress: {host: rooms.example.com}}}`},
		{name: "Gateway", kind: "RealtimeGateway", rows: gatewayRefRows("spec.exposure"),
			base: `spec: {exposure: {gatewayRef: {name: public}}}`},
	}
}

func authRows() []row {
	const secret = "spec.auth.jwt.secretRef"
	return slices.Concat(
		[]row{
			allowed("as it is", nil),
			allowed("no auth", set("spec.auth", nil)),
			refused("no key", set(secret, nil), rule("spec.auth.jwt", oneKey)),
			refused("two keys", set("spec.auth.jwt.jwksURL", "https://example.com"), rule("spec.auth.jwt", oneKey)),
		},
		text("spec.auth.jwt.issuer", 1, 253, letters), text("spec.auth.jwt.audience", 1, 253, letters),
		text(secret+".name", 1, 253, letters), text(secret+".key", 1, 253, letters),
		required(secret+".name", secret+".key", "spec.auth.anonymous.rooms"),
		anonymousRows(), originRows("spec.auth.allowedOrigins"),
	)
}

func anonymousRows() []row {
	const (
		rooms  = "spec.auth.anonymous.rooms"
		rights = "spec.auth.anonymous.rights"
		prefix = "a room is a name, or a prefix that ends in *: remove the other *"
	)
	return slices.Concat(
		many(rooms, 32, func(n int) any { return fmt.Sprintf("room%d", n) }, true),
		text(rooms+"[0]", 1, 128, letters),
		choice(rights+"[0]", "subscribe", "publish"),
		[]row{
			some(rooms),
			allowed("rooms by prefix", set(rooms, []any{"public-*", "*"})),
			refused("a room with a star inside", set(rooms, []any{"a*b"}), rule(rooms, prefix)),
			refused("a room with two stars", set(rooms, []any{"a", "a**"}), rule(rooms, prefix)),
			some(rights),
			refused("a right twice", set(rights, []any{"publish", "publish"}), duplicate(rights, "publish")),
			crowded(rights, 2, "publish", `"publish"`),
		},
	)
}

// originRows are of a list of origins at a path.
func originRows(origins string) []row {
	const origin = "an origin is scheme://host[:port] with http or https and no path, e.g. https://app.example.com, with * for a label, or * for all"
	rows := slices.Concat(
		many(origins, 32, func(n int) any { return fmt.Sprintf("https://%d.example.com", n) }, true),
		text(origins+"[0]", 1, 253, after("https://"), rule(origins, origin)),
	)
	for _, o := range []string{"*", "https://*.example.com", "http://localhost:3000"} {
		rows = append(rows, allowed(origins+" "+o, set(origins, []any{o})))
	}
	for _, o := range []string{"example.com", "https://example.com/", "ws://example.com"} {
		rows = append(rows, refused(origins+" "+o, set(origins, []any{o}), rule(origins, origin)))
	}
	return rows
}

func jwksRows() []row {
	const (
		url      = "spec.auth.jwt.jwksURL"
		absolute = "jwksURL must be an absolute http or https URL"
	)
	rows := text(url, 1, 2048, after("https://example.com/"), ruleOf(url, "", absolute))
	for _, bad := range []string{"file:///etc/passwd", "example.com/keys"} {
		rows = append(rows, refused("a JWKS at "+bad, set(url, bad), ruleOf(url, bad, absolute)))
	}
	return rows
}

const oneExposure = "a pattern is exposed by an Ingress or by a Gateway: remove ingress or gatewayRef"

func ingressRows(exposure string) []row {
	ingress := exposure + ".ingress"
	const host = "host must be a DNS name such as rooms.example.com"
	return slices.Concat(
		text(ingress+".host", 1, 253, labels, ruleOf(ingress+".host", "", host)),
		required(ingress+".host"),
		text(ingress+".className", 1, 253, letters), text(ingress+".tlsSecretName", 1, 253, letters),
		keys(ingress+".annotations", 32), text(ingress+".annotations.note", 0, 4096, letters),
		choice(exposure+".serviceType", "ClusterIP", "NodePort", "LoadBalancer"),
		[]row{
			refused("a host that is none", set(ingress+".host", "Rooms"), ruleOf(ingress+".host", "Rooms", host)),
			refused("a Gateway as well", set(exposure+".gatewayRef.name", "public"), rule(exposure, oneExposure)),
		},
	)
}

func gatewayRefRows(exposure string) []row {
	gateway := exposure + ".gatewayRef"
	return slices.Concat(
		text(gateway+".name", 1, 253, letters), required(gateway+".name"),
		text(gateway+".namespace", 1, 63, letters), text(gateway+".sectionName", 1, 253, letters),
		text(gateway+".hostname", 1, 253, letters),
		[]row{refused("an Ingress as well", set(exposure+".ingress.host", "a"), rule(exposure, oneExposure))},
	)
}
