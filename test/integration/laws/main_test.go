//go:build integration

package laws

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/trellis-dev/trellis/test/integration/framework"
)

// casesAtOnce is more than there are processors, as a case mostly waits for its operator to be quiet.
const casesAtOnce = 6

func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == fmt.Sprint(runtime.GOMAXPROCS(0)) {
		_ = parallel.Value.Set(fmt.Sprint(casesAtOnce))
	}
	os.Exit(framework.MainWithRoutes(m))
}
