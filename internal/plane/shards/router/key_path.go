package router

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// keyWildcard is the segment of a pattern that the key stands in.
const keyWildcard = "{key}"

// pathPattern finds the key in a path: a pattern of net/http whose only wildcards are {key} and, at the end, {rest...}.
type pathPattern struct {
	// before and after are the segments around the key.
	before, after []string
	// open is true where more may follow.
	open bool
}

func parsePathPattern(text string) (pathPattern, error) {
	var p pathPattern
	if !strings.HasPrefix(text, "/") {
		return p, fmt.Errorf("the path %q must begin with /", text)
	}
	segments := strings.Split(text[1:], "/")
	switch last := segments[len(segments)-1]; {
	case last == "" || strings.HasPrefix(last, "{") && strings.HasSuffix(last, "...}"):
		p.open = true
		segments = segments[:len(segments)-1]
	case last == "{$}":
		segments[len(segments)-1] = ""
	}
	found := false
	for _, s := range segments {
		switch {
		case s == keyWildcard && !found:
			found = true
		case strings.ContainsAny(s, "{}"):
			return p, fmt.Errorf("the path %q may have one %s, {$} or a last {rest...}, and no other wildcards", text, keyWildcard)
		case found:
			p.after = append(p.after, s)
		default:
			p.before = append(p.before, s)
		}
	}
	if !found {
		return p, errors.New("the path must have " + keyWildcard + " where the key is, such as /counters/" + keyWildcard + "/")
	}
	return p, nil
}

// key is empty where the path is not of the pattern.
func (p *pathPattern) key(u *url.URL) string {
	if u.RawPath == "" {
		return p.match(u.Path, plainSegment)
	}
	return p.match(u.EscapedPath(), url.PathUnescape)
}

func plainSegment(s string) (string, error) { return s, nil }

func (p *pathPattern) match(path string, decode func(string) (string, error)) string {
	rest, more := strings.CutPrefix(path, "/")
	next := func() (string, bool) {
		if !more {
			return "", false
		}
		var raw string
		raw, rest, more = strings.Cut(rest, "/")
		segment, err := decode(raw)
		return segment, err == nil
	}
	literals := func(want []string) bool {
		for _, w := range want {
			if s, ok := next(); !ok || s != w {
				return false
			}
		}
		return true
	}
	if !literals(p.before) {
		return ""
	}
	key, ok := next()
	if !ok || !literals(p.after) || more != p.open {
		return ""
	}
	return key
}
