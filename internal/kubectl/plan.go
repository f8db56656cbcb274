package kubectl

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// generated stands in printed Secrets for values that an apply would generate.
const generated = "<generated>"

type planOptions struct {
	files             []string
	namespace, domain string
	output            string
}

func planCommand() *cobra.Command {
	o := planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Print what an apply would create, and what it costs",
		Long: `Print the objects that an apply of the file would create, with their CPU, memory
and storage. The plan is the operator's own. PatternClasses are taken from the
file, and from the cluster where the file has none; nothing is written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringSliceVarP(&o.files, "filename", "f", nil, "file with patterns, - for standard input")
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "default", "namespace of objects that name none")
	cmd.Flags().StringVar(&o.domain, "cluster-domain", "cluster.local", "domain that ends the DNS names of Services")
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "table or yaml")
	_ = cmd.MarkFlagRequired("filename")
	return cmd
}

func (o planOptions) run(cmd *cobra.Command) error {
	if o.output != "table" && o.output != "yaml" {
		return fmt.Errorf("--output is table or yaml, not %q", o.output)
	}
	kinds := controllers.Kinds()
	m, err := read(cmd.Context(), kinds, cmd.InOrStdin(), o.files, o.namespace)
	if err != nil {
		return err
	}
	if len(m.patterns) == 0 {
		return fmt.Errorf("no pattern in %v", o.files)
	}
	if len(m.classes) == 0 {
		if m.classes, err = clusterClasses(cmd.Context()); err != nil {
			return err
		}
	}
	children, err := planAll(kinds, m, o.domain)
	if err != nil {
		return err
	}
	if o.output == "yaml" {
		return printYAML(cmd.OutOrStdout(), children)
	}
	return printTable(cmd.OutOrStdout(), children)
}

// clusterClasses reads the classes of the current context.
func clusterClasses(ctx context.Context) ([]v1alpha1.PatternClass, error) {
	const hint = "put a PatternClass into the file, or point KUBECONFIG at a cluster that has one"
	c, _, err := connect()
	if err != nil {
		return nil, fmt.Errorf("no PatternClass in the file: %s: %w", hint, err)
	}
	var list v1alpha1.PatternClassList
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list PatternClasses: %s: %w", hint, err)
	}
	return list.Items, nil
}

// planned is a child and the object whose plan made it.
type planned struct {
	owner string
	child pattern.Child
	// policy of a deletion of the owner.
	policy v1alpha1.DeletionPolicy
	// once is set for what is no child but made when there is work.
	once *pattern.Once
}

// fate of the child when its owner is deleted.
func (p planned) fate() string {
	_, claims := p.child.Object.(*appsv1.StatefulSet)
	switch {
	case p.child.Shared:
		return "kept: it is shared"
	case p.policy == v1alpha1.DeletionDelete && claims:
		return "removed with its claims"
	case p.policy == v1alpha1.DeletionDelete:
		return "removed"
	case claims:
		return "removed; its claims are kept"
	case p.child.Retain:
		return "kept"
	default:
		return "removed"
	}
}

// planAll plans every object, and the Engines that their plans make, each once.
func planAll(kinds *pattern.Registration, m *manifest, domain string) ([]planned, error) {
	var out []planned
	seen := map[string]bool{}
	queue, names := m.patterns, m.kinds
	for len(queue) > 0 {
		obj, kind := queue[0], names[0]
		queue, names = queue[1:], names[1:]
		owner := kind + "/" + obj.GetName()
		if seen[obj.GetNamespace()+"/"+owner] {
			continue
		}
		seen[obj.GetNamespace()+"/"+owner] = true
		class, err := pattern.PickClass(obj.GetPatternSpec().ClassName, m.classes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", owner, err)
		}
		plan, err := kinds.Plan(kind, obj, pattern.Preview{Class: class, ClusterDomain: domain, Source: unknownSource})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", owner, err)
		}
		for _, child := range plan.Children {
			out = append(out, planned{owner: owner, child: child, policy: pattern.EffectivePolicy(obj, class)})
			if engine, ok := child.Object.(*v1alpha1.Engine); ok {
				queue, names = append(queue, engine), append(names, "Engine")
			}
		}
		if plan.Once != nil {
			out = append(out, planned{owner: owner, child: pattern.Child{Object: plan.Once.Job}, policy: v1alpha1.DeletionDelete, once: plan.Once})
		}
	}
	return out, nil
}

// unknownSource stands for the Secret of an external engine, which a plan does not read.
var unknownSource = map[string][]byte{"uri": []byte("redis://external-engine:6379/0")}

func printTable(out io.Writer, children []planned) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "FOR\tKIND\tNAME\tON DELETION")
	objects := make([]client.Object, 0, len(children))
	var once []*pattern.Once
	for _, p := range children {
		if p.once != nil {
			once = append(once, p.once)
			_, _ = fmt.Fprintf(w, "%s\tJob\tup to %d, for jobs\t%s\n", p.owner, p.once.Most, p.fate())
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.owner, p.child.GetObjectKind().GroupVersionKind().Kind, p.child.GetName(), p.fate())
		objects = append(objects, p.child.Object)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	f := pattern.FootprintOf(objects)
	for _, o := range once {
		f.AddOnce(o)
	}
	_, err := fmt.Fprintf(out, "\n%d objects, %d pods; CPU %s (limit %s), memory %s (limit %s), storage %s\n",
		len(objects), f.Pods, f.Requests.Cpu(), f.Limits.Cpu(), f.Requests.Memory(), f.Limits.Memory(), &f.Storage)
	return err
}

func printYAML(out io.Writer, children []planned) error {
	for _, p := range children {
		data, err := yaml.Marshal(masked(p.child))
		if err != nil {
			return err
		}
		note := ""
		if p.once != nil {
			note = fmt.Sprintf("; up to %d of it at a time, one for each job", p.once.Most)
		}
		if _, err := fmt.Fprintf(out, "---\n# for %s%s\n%s", p.owner, note, data); err != nil {
			return err
		}
	}
	return nil
}

// masked shows a Secret's values as text, and what would be generated as such.
func masked(child pattern.Child) client.Object {
	secret, ok := child.Object.(*corev1.Secret)
	if !ok {
		return child.Object
	}
	shown := secret.DeepCopy()
	shown.Data, shown.StringData = nil, map[string]string{}
	for k, v := range secret.Data {
		shown.StringData[k] = os.Expand(string(v), func(string) string { return generated })
	}
	for k := range child.Generate {
		shown.StringData[k] = generated
	}
	return shown
}
