package kubectl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/config/crd"
	"github.com/trellis-dev/trellis/controllers"
)

// treeNode is a pattern of a pipeline, and where its events go.
type treeNode struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Asked is true of the pattern that was asked for.
	Asked bool `json:"asked,omitempty"`
	// Missing is true of one that a sink names and that does not exist, or may not be read.
	Missing bool   `json:"missing,omitempty"`
	Ready   string `json:"ready,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// SinksReady is what the condition of that name says; empty without one.
	SinksReady string `json:"sinksReady,omitempty"`
	Engine     string `json:"engine,omitempty"`
	// Shown is true of one whose sinks stand elsewhere in the tree.
	Shown bool       `json:"shown,omitempty"`
	Sinks []treeSink `json:"sinks,omitempty"`
}

// treeSink is one way that events take.
type treeSink struct {
	Name   string   `json:"name"`
	Types  []string `json:"types,omitempty"`
	Filter string   `json:"filter,omitempty"`
	// Subject and Data of the mapping.
	Subject string `json:"subject,omitempty"`
	Data    string `json:"data,omitempty"`
	// URL without its query, or the pattern: one of them is set.
	URL string    `json:"url,omitempty"`
	To  *treeNode `json:"to,omitempty"`
}

type treeOptions struct {
	namespace string
	output    string
	connect   func() (client.Client, string, error)
}

func treeCommand() *cobra.Command {
	o := treeOptions{connect: connect}
	cmd := &cobra.Command{
		Use:   "tree KIND/NAME",
		Short: "Show the pipeline that a pattern is part of, and how its parts are",
		Long: `Show the patterns whose events come to one, and those that its own events go to:
whether each is ready, which engine it uses, and what its sinks send. Nothing is
written.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace of the pattern; by default that of the current context")
	cmd.Flags().StringVarP(&o.output, "output", "o", "tree", "tree or json")
	return cmd
}

func (o treeOptions) run(cmd *cobra.Command, of string) error {
	if o.output != "tree" && o.output != "json" {
		return fmt.Errorf("--output is tree or json, not %q", o.output)
	}
	kind, name, err := parseObject(of)
	if err != nil {
		return err
	}
	c, own, err := o.connect()
	if err != nil {
		return err
	}
	asked := place{kind, cmp.Or(o.namespace, own), name}
	all, refused, err := patternsOf(cmd.Context(), c, asked.namespace)
	if err != nil {
		return err
	}
	for _, r := range refused {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s of other namespaces are left out, since you may not list them\n", r)
	}
	if all[asked] == nil {
		return fmt.Errorf("there is no %s %q in namespace %q", kind, name, asked.namespace)
	}
	roots := treesOf(all, asked)
	if o.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(roots)
	}
	return printTrees(cmd.OutOrStdout(), roots, asked.namespace)
}

// parseObject reads KIND/NAME, where the kind may be written in each way that kubectl knows.
func parseObject(text string) (kind, name string, err error) {
	of, name, ok := strings.Cut(text, "/")
	if !ok || of == "" || name == "" {
		return "", "", fmt.Errorf("%q is not KIND/NAME, such as jobqueue/reports", text)
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return "", "", err
	}
	registered := controllers.Kinds().Names()
	for _, d := range definitions {
		n := d.Spec.Names
		known := append([]string{n.Kind, n.Plural, n.Singular, n.Plural + "." + d.Spec.Group}, n.ShortNames...)
		if slices.Contains(registered, n.Kind) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, of) }) {
			return n.Kind, name, nil
		}
	}
	return "", "", fmt.Errorf("%q is no kind of pattern: write one of %s", of, strings.Join(registered, ", "))
}

// place names a pattern.
type place struct{ kind, namespace, name string }

// patternsOf reads the patterns of all namespaces or, of a kind that may not be listed there, of one.
func patternsOf(ctx context.Context, c client.Client, namespace string) (all map[place]v1alpha1.Pattern, refused []string, err error) {
	all = map[place]v1alpha1.Pattern{}
	for _, kind := range controllers.Kinds().Names() {
		obj, err := c.Scheme().New(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err != nil {
			return nil, nil, fmt.Errorf("make a list of %s: %w", kind, err)
		}
		list := obj.(client.ObjectList)
		err = c.List(ctx, list)
		if apierrors.IsForbidden(err) {
			refused = append(refused, kind+"s")
			err = c.List(ctx, list, client.InNamespace(namespace))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("list %ss: %w", kind, err)
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			p := o.(v1alpha1.Pattern)
			all[place{kind, p.GetNamespace(), p.GetName()}] = p
			return nil
		}); err != nil {
			return nil, nil, err
		}
	}
	return all, refused, nil
}

// receiverOf a sink that is a pattern.
func receiverOf(p v1alpha1.Pattern, ref *v1alpha1.SinkReference) place {
	return place{ref.Kind, cmp.Or(ref.Namespace, p.GetNamespace()), ref.Name}
}

// treesOf are those whose events come to a pattern and that get none themselves, with all that lies behind each. Where
// sinks lead round there may be no such, and the pattern itself is one.
func treesOf(all map[place]v1alpha1.Pattern, asked place) []*treeNode {
	senders := map[place][]place{}
	for at, p := range all {
		for _, s := range p.GetPatternSpec().Sinks {
			if s.Ref != nil {
				senders[receiverOf(p, s.Ref)] = append(senders[receiverOf(p, s.Ref)], at)
			}
		}
	}
	seen, first := map[place]bool{asked: true}, []place{}
	for queue := []place{asked}; len(queue) > 0; queue = queue[1:] {
		if len(senders[queue[0]]) == 0 {
			first = append(first, queue[0])
		}
		for _, from := range senders[queue[0]] {
			if !seen[from] {
				seen[from] = true
				queue = append(queue, from)
			}
		}
	}
	if len(first) == 0 {
		first = append(first, asked)
	}
	slices.SortFunc(first, func(a, b place) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	t, out := treeBuilder{all: all, asked: asked, shown: map[place]bool{}}, make([]*treeNode, 0, len(first))
	for _, at := range first {
		out = append(out, t.node(at))
	}
	return out
}

// treeBuilder shows what lies behind a pattern once.
type treeBuilder struct {
	all   map[place]v1alpha1.Pattern
	asked place
	shown map[place]bool
}

func (t treeBuilder) node(at place) *treeNode {
	n := &treeNode{Kind: at.kind, Namespace: at.namespace, Name: at.name, Asked: at == t.asked}
	p := t.all[at]
	if p == nil {
		n.Missing = true
		return n
	}
	status := p.GetPatternStatus()
	for _, c := range status.Conditions {
		switch c.Type {
		case v1alpha1.ConditionReady:
			n.Ready, n.Reason, n.Message = string(c.Status), c.Reason, c.Message
		case v1alpha1.ConditionSinksReady:
			n.SinksReady = c.Reason
		}
	}
	if e := status.Engine; e != nil {
		n.Engine = strings.TrimSuffix(e.Type+"/"+e.Name, "/")
	}
	if len(p.GetPatternSpec().Sinks) > 0 && t.shown[at] {
		n.Shown = true
		return n
	}
	t.shown[at] = true
	for _, s := range p.GetPatternSpec().Sinks {
		n.Sinks = append(n.Sinks, t.sink(p, s))
	}
	return n
}

func (t treeBuilder) sink(p v1alpha1.Pattern, s v1alpha1.Sink) treeSink {
	out := treeSink{Name: s.Name, Filter: s.Filter, URL: withoutQuery(s.URL)}
	for _, one := range s.Types {
		out.Types = append(out.Types, string(one))
	}
	if s.Mapping != nil {
		out.Subject, out.Data = s.Mapping.Subject, s.Mapping.Data
	}
	if s.Ref != nil {
		out.To = t.node(receiverOf(p, s.Ref))
	}
	return out
}

// withoutQuery leaves out where a secret may be.
func withoutQuery(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u.String()
}
