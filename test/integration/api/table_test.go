//go:build integration

package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// table is a valid object and what becomes of it when one thing in it is changed.
type table struct {
	name, kind string
	// base is the object as YAML.
	base string
	// alongside are errors that every row of this table may have besides its own: those of a part
	// that is specified and refused as a whole in this version.
	alongside []string
	rows      []row
}

// row is one change and all errors that it gets, as "field: message".
type row struct {
	name string
	// before, when set, is made to the base first, and the object is created so; change is then an update.
	before, change change
	// want is empty where the change is allowed.
	want []string
}

// change mutates an object.
type change func(map[string]any)

// tables are all of them; a new kind adds its own.
func tables() []table {
	return slices.Concat(classTables(), engineTables(), gatewayTables(), accessTables(), jobTables(), blobTables(), shardTables(), sinkGrantTables())
}

func TestTables(t *testing.T) {
	for _, tab := range tables() {
		t.Run(tab.kind+" "+tab.name, func(t *testing.T) {
			for _, r := range tab.rows {
				t.Run(r.name, func(t *testing.T) { tab.check(t, r) })
			}
		})
	}
}

func (tab table) check(t *testing.T, r row) {
	obj := tab.object(t)
	var err error
	if r.before != nil {
		r.before(obj.Object)
		obj.SetName("updated")
		create(t, obj)
		r.change(obj.Object)
		err = framework.Admin.Update(t.Context(), obj, client.DryRunAll)
	} else {
		if r.change != nil {
			r.change(obj.Object)
		}
		err = framework.Admin.Create(t.Context(), obj, client.DryRunAll, client.FieldValidation("Strict"))
	}
	got := slices.DeleteFunc(causes(t, err), func(c string) bool { return slices.Contains(tab.alongside, c) })
	if diff := cmp.Diff(r.want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func (tab table) object(t *testing.T) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(tab.base), &obj.Object); err != nil {
		t.Fatalf("base of table %s: %v", tab.name, err)
	}
	obj.SetAPIVersion("patterns.trellis.dev/v1alpha1")
	obj.SetKind(tab.kind)
	if obj.GetName() == "" {
		obj.SetName("base")
	}
	if tab.kind != "PatternClass" {
		obj.SetNamespace("default")
	}
	return obj
}

// create makes an object until the end of the test.
func create(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	if err := framework.Admin.Create(t.Context(), obj, client.FieldValidation("Strict")); err != nil {
		t.Fatalf("create %s: %v", obj.GetKind(), err)
	}
	remove(t, obj)
}

// remove deletes an object at the end of the test.
func remove(t *testing.T, obj *unstructured.Unstructured) {
	last := obj.DeepCopy()
	t.Cleanup(func() {
		if err := framework.Admin.Delete(context.WithoutCancel(t.Context()), last); client.IgnoreNotFound(err) != nil {
			t.Errorf("delete %s: %v", last.GetKind(), err)
		}
	})
}

// notChecked is what the API server adds where errors of the schema keep it from asking the rules.
const notChecked = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"

// causes lists what the API server has against an object, as "field: message".
func causes(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		t.Fatalf("not an answer of the API server: %v", err)
	}
	var out []string
	for _, c := range status.Status().Details.Causes {
		if text := fmt.Sprintf("%s: %s", c.Field, c.Message); text != notChecked {
			out = append(out, text)
		}
	}
	if len(out) == 0 {
		out = append(out, strings.TrimSpace(status.Status().Message))
	}
	return out
}
