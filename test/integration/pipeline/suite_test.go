//go:build integration

package pipeline

import (
	"os"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

const patience = framework.Patience

func TestMain(m *testing.M) { os.Exit(framework.Main(m)) }

func startOperator(t *testing.T) *framework.Operator {
	t.Helper()
	return framework.StartOperator(t, framework.OperatorOptions{})
}
