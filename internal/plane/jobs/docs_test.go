package jobs_test

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/contracttest"
	"github.com/trellis-dev/trellis/internal/plane/jobs"
	"github.com/trellis-dev/trellis/internal/plane/jobs/conformance"
	"github.com/trellis-dev/trellis/internal/plane/jobs/engines"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

const docsFile = "../../../docs/patterns/jobqueue.md"

func docs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedProblems compares the table of problems with the types of problems that the code makes.
func TestDocumentedProblems(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| [4-5][0-9][0-9] \\| ((?:`[a-z-]+`(?:, )?)+) \\|").FindAllStringSubmatch(docs(t), -1) {
		for slug := range strings.SplitSeq(row[1], ", ") {
			documented[strings.Trim(slug, "`")] = true
		}
	}
	made := map[string]bool{}
	for _, dir := range []string{".", ".."} {
		contracttest.EachNode(t, dir, func(n ast.Node) {
			for _, slug := range slugsOf(n) {
				made[slug] = true
			}
		})
	}
	if diff := cmp.Diff(made, documented); diff != "" {
		t.Errorf("problems (-code +docs):\n%s", diff)
	}
}

// slugsOf reads NewProblem(status, "slug", …), and the pairs of those that are known by their status only.
func slugsOf(n ast.Node) []string {
	var at ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		name, _ := n.Fun.(*ast.Ident)
		if selector, ok := n.Fun.(*ast.SelectorExpr); ok {
			name = selector.Sel
		}
		if name == nil || name.Name != "NewProblem" || len(n.Args) < 2 {
			return nil
		}
		at = n.Args[1]
	case *ast.KeyValueExpr:
		pair, ok := n.Value.(*ast.CompositeLit)
		if key, isStatus := n.Key.(*ast.SelectorExpr); !ok || !isStatus || !strings.HasPrefix(key.Sel.Name, "Status") || len(pair.Elts) != 2 {
			return nil
		}
		at = pair.Elts[0]
	}
	literal, ok := at.(*ast.BasicLit)
	if !ok {
		return nil
	}
	slug, err := strconv.Unquote(literal.Value)
	if err != nil {
		return nil
	}
	return []string{slug}
}

// TestDocumentedEndpoints compares the endpoints that the page names with those that a plane has.
func TestDocumentedEndpoints(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`((?:GET|POST|DELETE) /v1/[^`?]*)[`?]").FindAllStringSubmatch(docs(t), -1) {
		documented[m[1]] = true
	}
	cfg, _, err := planeconfig.Load(newLocal(t, conformance.Options{}, planeconfig.Engine{Type: "Memory"}).File)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plane.New(cfg, plane.Options{Title: "test", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.New(p, jobs.Options{Engines: engines.All()}); err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for path, item := range p.API.OpenAPI().Paths {
		for method, there := range map[string]bool{"GET ": item.Get != nil, "POST ": item.Post != nil, "DELETE ": item.Delete != nil} {
			if there {
				served[method+path] = true
			}
		}
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("endpoints (-plane +docs):\n%s", diff)
	}
}
