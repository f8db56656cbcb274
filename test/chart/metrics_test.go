package chart

import (
	"encoding/json"
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

	"sigs.k8s.io/yaml"
)

const root = "../.."

// theirs are metrics of controller-runtime, which registers them in every operator.
var theirs = map[string]bool{"controller_runtime_reconcile_errors_total": true}

// reported are all names of metrics that the code holds: string literals that begin as all of Trellis's do.
func reported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, folder := range []string{"controllers", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(text, "trellis_") {
						names[text] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// named are the metrics of an expression: its words that no function, label or keyword is.
var (
	quoted = regexp.MustCompile(`"[^"]*"`)
	named  = regexp.MustCompile(`\b(?:trellis|controller_runtime|workqueue|rest_client|process|go)_[a-z0-9_]+`)
	suffix = regexp.MustCompile(`_(bucket|sum|count)$`)
)

func checkExpression(t *testing.T, where, expr string, known map[string]bool) {
	t.Helper()
	metrics := named.FindAllString(quoted.ReplaceAllString(expr, `""`), -1)
	if len(metrics) == 0 {
		t.Errorf("%s: %q names no metric", where, expr)
	}
	for _, m := range metrics {
		if !known[m] && !theirs[m] && (!strings.HasSuffix(suffix.ReplaceAllString(m, ""), "_seconds") || !known[suffix.ReplaceAllString(m, "")]) {
			t.Errorf("%s: nothing reports %s", where, m)
		}
	}
}

// TestDashboardNamesMetricsThatThereAre holds each panel and each variable to the code.
func TestDashboardNamesMetricsThatThereAre(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "charts", "trellis", "files", "dashboards", "trellis.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	known, shown := reported(t), 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			checkExpression(t, p.Title, target.Expr, known)
			shown++
		}
	}
	for _, v := range dashboard.Templating.List {
		if v.Type == "query" {
			checkExpression(t, "$"+v.Name, v.Definition, known)
		}
	}
	if shown < 10 {
		t.Errorf("the dashboard shows %d expressions", shown)
	}
}

// TestAlertsNameMetricsThatThereAre holds each alert to the code.
func TestAlertsNameMetricsThatThereAre(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "charts", "trellis", "files", "rules", "trellis.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	known, found := reported(t), 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			checkExpression(t, r.Alert, r.Expr, known)
			found++
		}
	}
	if found == 0 {
		t.Error("there are no alerts")
	}
}
