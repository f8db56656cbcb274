//go:build integration

package api

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bound is something that a schema refuses, and the words of the error.
type bound struct{ kind, path, words string }

// unreachable are bounds that no user can hit in this version, and why.
var unreachable = map[bound]string{}

// TestEveryBoundHasARow asks that each rule and bound of a spec's schema refuses something in the
// tables, so that none can be added without a test and none be lost without a failing one.
func TestEveryBoundHasARow(t *testing.T) {
	errors := map[string][]string{}
	for _, tab := range tables() {
		errors[tab.kind] = append(errors[tab.kind], tab.alongside...)
		for _, r := range tab.rows {
			errors[tab.kind] = append(errors[tab.kind], r.want...)
		}
	}
	found := map[bound]bool{}
	eachField(t, func(f field) {
		if strings.HasPrefix(f.path, "status") {
			return
		}
		for _, b := range f.bounds() {
			found[b] = true
			hit := slices.ContainsFunc(errors[f.kind], b.matches)
			if _, excused := unreachable[b]; hit == excused {
				t.Errorf("%s %s: %q: in a row: %t, said to be unreachable: %t", b.kind, b.path, b.words, hit, excused)
			}
		}
	})
	for b := range unreachable {
		if !found[b] {
			t.Errorf("there is no %v any more", b)
		}
	}
}

// matches is true for an error "path: … words …" at the bound's place.
func (b bound) matches(err string) bool {
	pattern := regexp.QuoteMeta(b.path)
	pattern = strings.ReplaceAll(pattern, `\[\*\]`, `\[\d+\]`)
	pattern = strings.ReplaceAll(pattern, `\.\*`, `(?:\.[^.: ]+|\[[^]]+\])`)
	return regexp.MustCompile("^"+pattern+": ").MatchString(err) && strings.Contains(err, b.words)
}

// bounds of one place.
func (f field) bounds() []bound {
	var out []bound
	add := func(path, format string, args ...any) {
		out = append(out, bound{f.kind, path, fmt.Sprintf(format, args...)})
	}
	s, path := f.schema, f.path
	if path == "" {
		path = "<nil>"
	}
	for _, name := range s.Required {
		add(join(f.path, name), "Required value")
	}
	for _, v := range s.XValidations {
		add(path, "%s", v.Message)
	}
	if s.Minimum != nil {
		add(path, "should be greater than or equal to %v", *s.Minimum)
	}
	if s.Maximum != nil {
		add(path, "should be less than or equal to %s", fmt.Sprint(int64(*s.Maximum)))
	}
	if len(s.Enum) > 0 {
		add(path, "Unsupported value")
	} else if s.MaxLength != nil {
		add(path, "Too long: may not be more than %d bytes", *s.MaxLength)
	}
	if s.MinLength != nil {
		add(path, "should be at least %d chars long", *s.MinLength)
	}
	if s.Pattern != "" {
		add(path, "should match '%s'", s.Pattern)
	}
	if s.MinItems != nil {
		add(path, "should have at least %d items", *s.MinItems)
	}
	if s.MaxItems != nil {
		add(path, "must have at most %d items", *s.MaxItems)
	}
	if s.MaxProperties != nil {
		add(path, "must have at most %d items", *s.MaxProperties)
	}
	if s.XListType != nil && *s.XListType != "atomic" {
		add(path+"[*]", "Duplicate value")
	}
	return out
}
