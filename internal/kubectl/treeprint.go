package kubectl

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// printTrees draws each tree; patterns of other namespaces than the one asked for are written with theirs.
func printTrees(out io.Writer, roots []*treeNode, namespace string) error {
	var text strings.Builder
	for i, root := range roots {
		if i > 0 {
			text.WriteString("\n")
		}
		drawNode(&text, root, namespace, "", "", "")
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// drawNode writes a pattern between first and last, and what lies behind it in lines that begin with rest.
func drawNode(out *strings.Builder, n *treeNode, namespace, first, last, rest string) {
	_, _ = fmt.Fprintf(out, "%s%s%s\n", first, describe(n, namespace), last)
	for i, s := range n.Sinks {
		branch, below := "├─ ", "│  "
		if i == len(n.Sinks)-1 {
			branch, below = "└─ ", "   "
		}
		lead := rest + branch + s.Name + " → "
		if s.To == nil {
			_, _ = fmt.Fprintf(out, "%s%s%s\n", lead, s.URL, conditionsOf(s))
			continue
		}
		drawNode(out, s.To, namespace, lead, conditionsOf(s), rest+below)
	}
}

// describe a pattern in a line.
func describe(n *treeNode, namespace string) string {
	name := n.Kind + "/" + n.Name
	if n.Namespace != namespace {
		name = n.Namespace + "/" + name
	}
	if n.Asked {
		name += " *"
	}
	if n.Missing {
		return name + "  not found"
	}
	state := "ready"
	if n.Ready != "True" {
		state = "not ready: " + cmp.Or(n.Reason, "Pending")
	} else if n.Reason != "Ready" {
		state += ": " + n.Reason
	}
	out := name + "  " + state
	if n.Engine != "" {
		out += "  on " + n.Engine
	}
	if n.SinksReady != "" && n.SinksReady != "SinksReady" {
		out += "  sinks: " + n.SinksReady
	}
	if n.Shown {
		out += "  (its sinks are shown above)"
	}
	return out
}

// conditionsOf a sink: what it sends.
func conditionsOf(s treeSink) string {
	var words []string
	if len(s.Types) > 0 {
		words = append(words, "types "+strings.Join(s.Types, ", "))
	}
	if s.Filter != "" {
		words = append(words, "if "+s.Filter)
	}
	if s.Subject != "" {
		words = append(words, "subject "+s.Subject)
	}
	if s.Data != "" {
		words = append(words, "data "+s.Data)
	}
	if len(words) == 0 {
		return ""
	}
	return "  [" + strings.Join(words, "; ") + "]"
}
