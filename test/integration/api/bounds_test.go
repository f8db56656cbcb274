//go:build integration

package api

import (
	"encoding/json"
	"fmt"
	"strings"
)

// text says that a field is a string of low to high characters, of which fill makes n. emptyAlso
// are errors that an empty one gets besides.
func text(path string, low, high int, fill func(n int) string, emptyAlso ...string) []row {
	rows := []row{
		allowed(path+" of the most characters", set(path, fill(high))),
		refused(path+" of too many characters", set(path, fill(high)+"a"),
			fmt.Sprintf("%s: Too long: may not be more than %d bytes", path, high)),
	}
	if low > 0 {
		short := fmt.Sprintf(`%s: Invalid value: "": %s in body should be at least %d chars long`, path, path, low)
		rows = append(rows, refused(path+" empty", set(path, ""), append(emptyAlso, short)...))
	}
	return rows
}

func letters(n int) string { return strings.Repeat("a", n) }

// after makes texts that begin with a prefix.
func after(prefix string) func(int) string {
	return func(n int) string { return prefix + letters(n-len(prefix)) }
}

// labels makes names of odd length with a label for every other character.
func labels(n int) string { return strings.Repeat("a.", n/2) + "a" }

// number says that a field is an integer of low to high.
func number(path string, low, high int64) []row {
	return []row{
		allowed(path+" lowest", set(path, low)),
		allowed(path+" highest", set(path, high)),
		refused(path+" too low", set(path, low-1),
			fmt.Sprintf("%s: Invalid value: %d: %s in body should be greater than or equal to %d", path, low-1, path, low)),
		refused(path+" too high", set(path, high+1),
			fmt.Sprintf("%s: Invalid value: %d: %s in body should be less than or equal to %d", path, high+1, path, high)),
	}
}

// choice says that a field is one of the values.
func choice(path string, values ...string) []row {
	quoted := make([]string, len(values))
	var rows []row
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
		rows = append(rows, allowed(path+" "+v, set(path, v)))
	}
	return append(rows, refused(path+" unknown", set(path, "Other"),
		fmt.Sprintf("%s: Unsupported value: \"Other\": supported values: %s", path, strings.Join(quoted, ", "))))
}

// many says that a list has at most high items, of which one makes the nth, and none twice where
// the list is a map or a set.
func many(path string, high int, one func(n int) any, unique bool) []row {
	items := func(n int) []any {
		var out []any
		for i := range n {
			out = append(out, one(i))
		}
		return out
	}
	rows := []row{
		allowed(path+" of the most items", set(path, items(high))),
		refused(path+" of too many items", set(path, items(high+1)),
			fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, high+1, high)),
	}
	if unique {
		rows = append(rows, refused(path+" twice the same", set(path, []any{one(0), one(0)}), duplicate(path, one(0))))
	}
	return rows
}

// duplicate is the error of a second item: of lists that are maps it shows the keys alone.
func duplicate(path string, value any) string {
	if m, ok := value.(map[string]any); ok {
		value = map[string]any{"name": m["name"]}
	}
	shown, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s[1]: Duplicate value: %s", path, shown)
}

// crowded is a list of one value too many times, where it may be there but once.
func crowded(path string, high int, value any, shown string) row {
	items := make([]any, high+1)
	for i := range items {
		items[i] = value
	}
	return refused(path+" of too many items", set(path, items),
		fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, high+1, high),
		fmt.Sprintf("%s[1]: Duplicate value: %s", path, shown))
}

// some says that a list may not be empty.
func some(path string) row {
	return refused(path+" empty", set(path, []any{}),
		fmt.Sprintf("%s: Invalid value: 0: %s in body should have at least 1 items", path, path))
}

// keys says that a map has at most high keys.
func keys(path string, high int) []row {
	entries := func(n int) map[string]any {
		out := map[string]any{}
		for i := range n {
			out[fmt.Sprintf("key%d", i)] = "v"
		}
		return out
	}
	return []row{
		allowed(path+" of the most keys", set(path, entries(high))),
		refused(path+" of too many keys", set(path, entries(high+1)),
			fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, high+1, high)),
	}
}

// required says that each field must be there.
func required(paths ...string) []row {
	var rows []row
	for _, path := range paths {
		rows = append(rows, refused(path+" missing", set(path, nil), path+": Required value"))
	}
	return rows
}

// mismatch is the error of a value that does not match a field's pattern.
func mismatch(path, value, pattern string) string {
	return fmt.Sprintf("%s: Invalid value: %q: %s in body should match '%s'", path, value, path, pattern)
}

// rule is the error of a CEL rule of an object, ruleOf that of a rule of a value.
func rule(path, message string) string { return path + ": Invalid value: " + message }

func ruleOf(path, value, message string) string {
	return fmt.Sprintf("%s: Invalid value: %q: %s", path, value, message)
}

func allowed(name string, c change) row { return row{name: name, change: c} }

func refused(name string, c change, want ...string) row {
	return row{name: name, change: c, want: want}
}

// updated says what becomes of an update.
func updated(name string, before, change change, want ...string) row {
	return row{name: name, before: before, change: change, want: want}
}

// named makes items that differ by their names.
func named(more ...string) func(int) any {
	return func(n int) any {
		out := map[string]any{"name": fmt.Sprintf("item%d", n)}
		for i := 0; i+1 < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
}
