//go:build integration

package api

import (
	"os"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// TestMain needs KUBEBUILDER_ASSETS, and fails without. That the API server takes the CRDs at all
// shows that the cost of their rules is within its budget.
func TestMain(m *testing.M) { os.Exit(framework.Main(m)) }
