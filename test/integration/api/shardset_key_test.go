//go:build integration

package api

import (
	"fmt"
	"slices"
)

func shardKeyRows() []row {
	const (
		at     = "spec.key"
		place  = "a key is in one place: set exactly one of key.header, key.query, key.path, key.cookie, key.jwtClaim and key.jsonBody"
		body   = "maxBody is of key.jsonBody: remove it"
		sized  = "maxBody must be above 0 and at most 64Mi"
		header = "key.header is letters, digits and '-', begins not with Trellis-, and is none of HTTP's own: use one such as X-Account"
		path   = "key.path begins with / and has {key} once, as a segment of its own, and no wildcard besides but {rest...} at its end: use one such as /counters/{key}"
		cookie = "key.cookie is letters, digits, '_', '.' and '-'"
		json   = "key.jsonBody is a JSON pointer, which begins with / and has ~0 for ~ in a name, and ~1 for /: use one such as /customer/id"
	)
	rows := slices.Concat(
		text(at+".header", 1, 128, letters, ruleOf(at+".header", "", header)),
		number(at+".maxBytes", 1, 8192),
		shardKeyTextRows("query", 128, letters, ""), shardKeyTextRows("cookie", 128, letters, cookie), shardKeyTextRows("jwtClaim", 128, letters, ""),
		shardKeyTextRows("path", 1024, func(n int) string { return "/" + letters(n-7) + "/{key}" }, path),
		shardKeyTextRows("jsonBody", 1024, after("/"), json),
		[]row{
			refused("no key", set(at+".header", nil), rule(at, place)),
			refused("two keys", set(at+".query", "a"), rule(at, place)),
			refused("a body of no use", set(at+".maxBody", "1Mi"), rule(at, body)),
			allowed("a body", keyed("jsonBody", "/id", "1Mi")),
			refused("a body of none", keyed("jsonBody", "/id", "0"), ruleOf(at+".maxBody", "0", sized)),
			refused("too large a body", keyed("jsonBody", "/id", "65Mi"), ruleOf(at+".maxBody", "65Mi", sized)),
			refused("a body of no size", keyed("jsonBody", "/id", "1 MB"), mismatch(at+".maxBody", "1 MB", quantityPattern),
				rule(at+".maxBody", `"": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: `+sized)),
			refused("a claim that nobody verifies", func(obj map[string]any) {
				keyed("jwtClaim", "sub", "")(obj)
				set("spec.router.authentication", "None")(obj)
			}, rule("spec", claimUnverified)),
		})
	for field, values := range map[string][]string{
		"header":   {"Trellis-Epoch", "Host", "authorization", "X Key"},
		"path":     {"/counters", "/c-{key}", "/{key}/{key}", "counters/{key}", "/a?b={key}", "/{a}/{key}", "/{key}/{a}", "/{key}/{rest", "/{key}/{rest...}/a"},
		"cookie":   {"a=b", "a;b"},
		"jsonBody": {"id", "/a~2"},
	} {
		message := map[string]string{"header": header, "path": path, "cookie": cookie, "jsonBody": json}[field]
		for _, value := range values {
			rows = append(rows, refused(field+" "+value, keyed(field, value, ""), ruleOf(at+"."+field, value, message)))
		}
	}
	for _, value := range []string{"/{key}", "/{key}/", "/carts/{key}/{rest...}", "/a/{key}/b/c", "/a/{key}/{$}"} {
		rows = append(rows, allowed("path "+value, keyed("path", value, "")))
	}
	for _, value := range []string{"/", "/a~0b/~1", "/a//b"} {
		rows = append(rows, allowed("jsonBody "+value, keyed("jsonBody", value, "")))
	}
	return rows
}

// keyed has the key in one place, and not in another.
func keyed(field, value, maxBody string) change {
	return func(obj map[string]any) {
		set("spec.key", map[string]any{field: value})(obj)
		if maxBody != "" {
			set("spec.key.maxBody", maxBody)(obj)
		}
	}
}

// shardKeyTextRows are of a text of at most so many characters that says where the key is; rule is what an empty one breaks.
func shardKeyTextRows(field string, most int, fill func(int) string, broken string) []row {
	at := "spec.key." + field
	empty := []string{fmt.Sprintf(`%s: Invalid value: "": %s in body should be at least 1 chars long`, at, at)}
	if broken != "" {
		empty = append(empty, ruleOf(at, "", broken))
	}
	return []row{
		allowed(field+" of the most characters", keyed(field, fill(most), "")),
		refused(field+" of too many characters", keyed(field, fill(most+1), ""), fmt.Sprintf("%s: Too long: may not be more than %d bytes", at, most)),
		refused(field+" empty", keyed(field, "", ""), empty...),
	}
}
