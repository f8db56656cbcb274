//go:build integration

package api

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestUnknownFields are refused under strict validation, which kubectl asks for, and dropped without.
func TestUnknownFields(t *testing.T) {
	tests := []struct{ kind, base, path string }{
		{"RealtimeGateway", `spec: {}`, "spec.replica"},
		{"RealtimeGateway", `spec: {}`, "spec.history.length"},
		{"RealtimeGateway", `spec: {}`, "spec.podTemplate.securityContext"},
		{"Engine", `spec: {type: Redis}`, "spec.provisioned.disk"},
		{"BlobBucket", `spec: {}`, "spec.uploads.maxSize"},
		{"ShardSet", shardBase(""), "spec.router.overload.limit"},
		{"PatternClass", `spec: {plane: {version: v1}}`, "spec.plane.tag"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.path, func(t *testing.T) {
			obj := table{kind: tt.kind, base: tt.base}.object(t)
			set(tt.path, "x")(obj.Object)
			lax := obj.DeepCopy()
			err := framework.Admin.Create(t.Context(), obj, client.DryRunAll, client.FieldValidation("Strict"))
			if want := `unknown field "` + tt.path + `"`; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want one with %s", err, want)
			}
			if err := framework.Admin.Create(t.Context(), lax, client.DryRunAll, client.FieldValidation("Ignore")); err != nil {
				t.Fatal(err)
			}
			eachValue("", lax.Object, func(path string) {
				if path == "."+tt.path {
					t.Errorf("%s is kept", tt.path)
				}
			})
		})
	}
}
