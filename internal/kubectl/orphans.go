package kubectl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
)

// orphan is something that holds data and belongs to no living object.
type orphan struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// From is whose it was, as Kind/name; empty for a shared Engine that nobody uses.
	From string `json:"from,omitempty"`
	// Size of what it stores; empty where that is next to nothing.
	Size string `json:"size,omitempty"`
	// Since it was kept; nil where that is not known.
	Since *time.Time `json:"since,omitempty"`
	// Adopt and Delete say how.
	Adopt  string `json:"adopt"`
	Delete string `json:"delete"`
}

type orphanOptions struct {
	namespace string
	all       bool
	output    string
	connect   func() (client.Client, string, error)
	now       func() time.Time
}

func orphansCommand() *cobra.Command {
	o := orphanOptions{connect: connect, now: time.Now}
	cmd := &cobra.Command{
		Use:   "orphans",
		Short: "List what deletions kept: claims, Engines and Secrets that no pattern uses",
		Long: `List the claims, Engines and Secrets that were kept when their pattern was deleted
under the policy Retain, and the shared Engines that nobody uses any more: whose
they were, how much they store, since when, and how to use or delete them.
Nothing is written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace to look at; by default that of the current context")
	cmd.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "look at all namespaces")
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "table or json")
	return cmd
}

func (o orphanOptions) run(cmd *cobra.Command) error {
	if o.output != "table" && o.output != "json" {
		return fmt.Errorf("--output is table or json, not %q", o.output)
	}
	c, own, err := o.connect()
	if err != nil {
		return err
	}
	namespace := cmp.Or(o.namespace, own)
	if o.all {
		namespace = ""
	}
	found, refused, err := findOrphans(cmd.Context(), c, namespace)
	if err != nil {
		return err
	}
	for _, r := range refused {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s are left out, since you may not list them\n", r)
	}
	if o.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(found)
	}
	return printOrphans(cmd.OutOrStdout(), found, o.now())
}

// findOrphans lists them by namespace, origin, kind and name, and says which kinds the user may not list.
func findOrphans(ctx context.Context, c client.Client, namespace string) (found []orphan, refused []string, err error) {
	var claims corev1.PersistentVolumeClaimList
	var engines v1alpha1.EngineList
	secrets := metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	ours := client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	for name, list := range map[string]client.ObjectList{"claims": &claims, "Engines": &engines, "Secrets": &secrets} {
		switch err := c.List(ctx, list, client.InNamespace(namespace), ours); {
		case apierrors.IsForbidden(err):
			refused = append(refused, name)
		case err != nil:
			return nil, nil, fmt.Errorf("list %s: %w", name, err)
		}
	}
	slices.Sort(refused)
	found = []orphan{}
	for i := range claims.Items {
		if claim := &claims.Items[i]; kept(claim) {
			found = append(found, orphanOf("PersistentVolumeClaim", claim, sizeOf(*claim)))
		}
	}
	for i := range engines.Items {
		if e := &engines.Items[i]; kept(e) || unused(e) {
			found = append(found, orphanOf("Engine", e, storedBy(e, claims.Items)))
		}
	}
	for i := range secrets.Items {
		if s := &secrets.Items[i]; kept(s) {
			found = append(found, orphanOf("Secret", s, resource.Quantity{}))
		}
	}
	slices.SortFunc(found, func(a, b orphan) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.From, b.From),
			strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return found, refused, nil
}

// kept is true for what a deletion kept.
func kept(obj client.Object) bool {
	return obj.GetLabels()[v1alpha1.LabelRetained] == "true" && obj.GetDeletionTimestamp().IsZero()
}

// unused is true for an Engine that Trellis made for several patterns and that none uses.
func unused(e *v1alpha1.Engine) bool {
	return metav1.GetControllerOf(e) == nil && e.Status.Consumers == 0 &&
		e.Status.ObservedGeneration == e.Generation && e.DeletionTimestamp.IsZero()
}

func orphanOf(kind string, obj client.Object, size resource.Quantity) orphan {
	o := orphan{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName(), Since: keptSince(obj)}
	if !size.IsZero() {
		o.Size = size.String()
	}
	o.Adopt = "apply a pattern of the class that this Engine's className names"
	if fromKind, name := pattern.RetainedFrom(obj); name != "" {
		o.From = fromKind + "/" + name
		o.Adopt = fmt.Sprintf("apply a %s named %s in namespace %s", fromKind, name, obj.GetNamespace())
	}
	o.Delete = fmt.Sprintf("kubectl delete %s -n %s %s", strings.ToLower(kind), obj.GetNamespace(), obj.GetName())
	return o
}

func sizeOf(claim corev1.PersistentVolumeClaim) resource.Quantity {
	if size, ok := claim.Status.Capacity[corev1.ResourceStorage]; ok {
		return size
	}
	return claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

// storedBy adds up the claims of an Engine.
func storedBy(e *v1alpha1.Engine, claims []corev1.PersistentVolumeClaim) resource.Quantity {
	var sum resource.Quantity
	for _, claim := range claims {
		labels := claim.Labels
		if claim.Namespace == e.Namespace && labels[v1alpha1.LabelKind] == "Engine" && labels[v1alpha1.LabelName] == e.Name {
			sum.Add(sizeOf(claim))
		}
	}
	return sum
}

// keptSince is when the mark of a deletion was set, as the API server recorded it.
func keptSince(obj client.Object) *time.Time {
	for _, f := range obj.GetManagedFields() {
		if f.Time != nil && f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:`+v1alpha1.LabelRetained+`"`) {
			return &f.Time.Time
		}
	}
	return nil
}

func printOrphans(out io.Writer, found []orphan, now time.Time) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(out, "Nothing was kept that no pattern uses.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAMESPACE\tKIND\tNAME\tFROM\tSIZE\tKEPT FOR")
	for _, o := range found {
		age := "-"
		if o.Since != nil {
			age = duration.HumanDuration(now.Sub(*o.Since))
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Namespace, o.Kind, o.Name, cmp.Or(o.From, "nobody uses it"), cmp.Or(o.Size, "-"), age)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, `
To use one again, apply an object of the kind, name and namespace that it is from.
To delete one, and its data with it: kubectl delete KIND -n NAMESPACE NAME
`)
	return err
}
