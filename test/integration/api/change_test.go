//go:build integration

package api

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// patch merges YAML into an object (RFC 7386: null removes).
func patch(text string) change {
	return func(obj map[string]any) {
		var fragment map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &fragment); err != nil {
			panic(fmt.Sprintf("patch %q: %v", text, err))
		}
		merge(obj, fragment)
	}
}

func merge(into, fragment map[string]any) {
	for k, v := range fragment {
		nested, isMap := v.(map[string]any)
		old, wasMap := into[k].(map[string]any)
		switch {
		case v == nil:
			delete(into, k)
		case isMap && wasMap:
			merge(old, nested)
		default:
			into[k] = v
		}
	}
}

// set gives the field at a path such as spec.sinks[0].name a value; nil removes it.
func set(path string, value any) change {
	return func(obj map[string]any) {
		parts := strings.Split(path, ".")
		parent := obj
		for _, part := range parts[:len(parts)-1] {
			parent = child(parent, part)
		}
		last := parts[len(parts)-1]
		name, index, isItem := item(last)
		switch {
		case isItem:
			list(parent, name, index)[index] = value
		case value == nil:
			delete(parent, last)
		default:
			parent[last] = value
		}
	}
}

// child descends into a field or an item, made where it is missing.
func child(parent map[string]any, part string) map[string]any {
	name, index, isItem := item(part)
	if !isItem {
		if _, ok := parent[name]; !ok {
			parent[name] = map[string]any{}
		}
		return parent[name].(map[string]any)
	}
	items := list(parent, name, index)
	if items[index] == nil {
		items[index] = map[string]any{}
	}
	return items[index].(map[string]any)
}

// list returns a field that is a list of more than index items.
func list(parent map[string]any, name string, index int) []any {
	items, _ := parent[name].([]any)
	for len(items) <= index {
		items = append(items, nil)
	}
	parent[name] = items
	return items
}

// item splits name[index].
func item(part string) (name string, index int, ok bool) {
	name, rest, ok := strings.Cut(part, "[")
	if !ok {
		return part, 0, false
	}
	index, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if err != nil {
		panic(fmt.Sprintf("path %q: %v", part, err))
	}
	return name, index, true
}
