package realtime

import (
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/centrifugal/centrifuge"
	"github.com/google/go-cmp/cmp"

	"github.com/trellis-dev/trellis/internal/plane/contracttest"
)

const docsFile = "../../../docs/patterns/realtimegateway.md"

// TestDocumentedProblems compares the table of problems with the problems that
// the code can make.
func TestDocumentedProblems(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| ([4-5][0-9][0-9]) \\| ((?:`[a-z-]+`(?:, )?)+) \\|")
	documented := map[string]int{}
	for _, m := range row.FindAllStringSubmatch(readFile(t, docsFile), -1) {
		status, _ := strconv.Atoi(m[1])
		for slug := range strings.SplitSeq(m[2], ", ") {
			documented[strings.Trim(slug, "`")] = status
		}
	}
	made := map[string]int{}
	for _, dir := range []string{".", ".."} {
		contracttest.EachNode(t, dir, func(n ast.Node) {
			if status, slug, ok := problemOf(n); ok {
				made[slug] = status
			}
		})
	}
	if diff := cmp.Diff(made, documented); diff != "" {
		t.Errorf("problems (-code +docs):\n%s", diff)
	}
}

// problemOf reads NewProblem(status, "slug", …), and the table of those that
// are known by status only.
func problemOf(n ast.Node) (status int, slug string, ok bool) {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if name != "NewProblem" || len(n.Args) != 4 {
			return 0, "", false
		}
		slug, ok = literal(n.Args[1])
		return statusValue(n.Args[0]), slug, ok
	case *ast.KeyValueExpr:
		pair, isPair := n.Value.(*ast.CompositeLit)
		if !isPair || len(pair.Elts) != 2 || statusValue(n.Key) == 0 {
			return 0, "", false
		}
		if slug, ok = literal(pair.Elts[0]); slug == "invalid-request" {
			// Whatever the typed layer's status, it goes out as 400.
			return 400, slug, ok
		}
		return statusValue(n.Key), slug, ok
	case *ast.AssignStmt:
		// The one for a status without a name.
		if pair, isPair := n.Rhs[0].(*ast.CompositeLit); isPair && len(pair.Elts) == 2 {
			if slug, _ = literal(pair.Elts[0]); slug == "internal" {
				return 500, slug, true
			}
		}
	}
	return 0, "", false
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// statusValue is the number of http.StatusX, or of a number.
func statusValue(e ast.Expr) int {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, _ := strconv.Atoi(e.Value)
		return n
	case *ast.SelectorExpr:
		return map[string]int{
			"StatusBadRequest": 400, "StatusUnauthorized": 401, "StatusForbidden": 403, "StatusNotFound": 404, "StatusMethodNotAllowed": 405,
			"StatusNotAcceptable": 406, "StatusRequestTimeout": 408, "StatusConflict": 409, "StatusRequestEntityTooLarge": 413,
			"StatusUnsupportedMediaType": 415, "StatusUnprocessableEntity": 422, "StatusUpgradeRequired": 426, "StatusTooManyRequests": 429,
			"StatusInternalServerError": 500, "StatusServiceUnavailable": 503,
		}[e.Sel.Name]
	}
	return 0
}

// TestDocumentedCloseCodes compares the table of close codes with those that the
// code uses, and those that the library uses by itself.
func TestDocumentedCloseCodes(t *testing.T) {
	known := map[string]centrifuge.Disconnect{
		"DisconnectShutdown": centrifuge.DisconnectShutdown, "DisconnectServerError": centrifuge.DisconnectServerError,
		"DisconnectExpired": centrifuge.DisconnectExpired, "DisconnectSlow": centrifuge.DisconnectSlow,
		"DisconnectInsufficientState": centrifuge.DisconnectInsufficientState, "DisconnectNoPong": centrifuge.DisconnectNoPong,
		"DisconnectTooManyRequests": centrifuge.DisconnectTooManyRequests, "DisconnectInvalidToken": centrifuge.DisconnectInvalidToken,
		"DisconnectBadRequest": centrifuge.DisconnectBadRequest, "DisconnectStale": centrifuge.DisconnectStale,
		"DisconnectConnectionLimit": centrifuge.DisconnectConnectionLimit,
	}
	// These are never said to a client: there is nobody left to hear it, or it is no code.
	silent := map[string]bool{"DisconnectConnectionClosed": true, "DisconnectWriteError": true, "DisconnectEvent": true}
	// A frame that is too large is refused before it is read.
	want := map[int]bool{1009: true}
	for _, d := range []centrifuge.Disconnect{centrifuge.DisconnectExpired, centrifuge.DisconnectSlow, centrifuge.DisconnectInsufficientState, centrifuge.DisconnectStale} {
		want[int(d.Code)] = true
	}
	contracttest.EachNode(t, ".", func(n ast.Node) {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !strings.HasPrefix(sel.Sel.Name, "Disconnect") || sel.Sel.Name == "Disconnect" || silent[sel.Sel.Name] {
			return
		}
		d, ok := known[sel.Sel.Name]
		if !ok {
			t.Errorf("%s is not among the codes of this test: document it, and add it", sel.Sel.Name)
		}
		want[int(d.Code)] = true
	})
	documented := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (1[0-9]{3}|3[0-9]{3}) \|`).FindAllStringSubmatch(readFile(t, docsFile), -1) {
		code, _ := strconv.Atoi(m[1])
		documented[code] = true
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("close codes (-code +docs):\n%s", diff)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
