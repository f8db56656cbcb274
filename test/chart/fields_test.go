package chart

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// field of a resource, as messages and pages name it. What is read from a pod or a file is none.
var field = regexp.MustCompile(`\b(?:spec|status)(?:\.[a-z][A-Za-z0-9]*)+`)

var noFields = map[string]bool{"status.podIP": true, "status.go": true}

// fields of all kinds, by their paths.
func fields(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "charts", "trellis", "files", "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d definitions of kinds: %v", len(files), err)
	}
	known := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &crd); err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			for _, part := range []string{"spec", "status"} {
				gather(known, v.Schema.OpenAPIV3Schema.Properties[part], part)
			}
		}
	}
	return known
}

func gather(known map[string]bool, s apiextensionsv1.JSONSchemaProps, path string) {
	known[path] = true
	for name := range s.Properties {
		gather(known, s.Properties[name], path+"."+name)
	}
	if s.Items != nil && s.Items.Schema != nil {
		gather(known, *s.Items.Schema, path)
	}
}

// TestFieldsThatAreNamedThereAre holds what messages and pages tell a user to change to what there is.
func TestFieldsThatAreNamedThereAre(t *testing.T) {
	known, named := fields(t), 0
	check := func(where, text string) {
		for _, name := range field.FindAllString(text, -1) {
			named++
			if !known[name] && !noFields[name] {
				t.Errorf("%s: no kind has %s", where, name)
			}
		}
	}
	for _, folder := range []string{"controllers", "internal", "docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			switch {
			case err != nil || strings.HasSuffix(path, "_test.go"):
			case strings.HasSuffix(path, ".go"):
				return inLiterals(path, check)
			case strings.HasSuffix(path, ".md"):
				var text []byte
				text, err = os.ReadFile(path)
				check(path, string(text))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if named < 100 {
		t.Errorf("%d fields were named", named)
	}
}

// inLiterals calls check with each string literal of a file.
func inLiterals(path string, check func(where, text string)) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				check(files.Position(lit.Pos()).String(), text)
			}
		}
		return true
	})
	return nil
}
