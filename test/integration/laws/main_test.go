//go:build integration

package laws

import (
	"os"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

func TestMain(m *testing.M) { os.Exit(framework.Main(m)) }
