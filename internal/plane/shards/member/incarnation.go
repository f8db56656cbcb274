package member

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/trellis-dev/trellis/internal/plane"
	"github.com/trellis-dev/trellis/internal/plane/shards/table"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// named reports whether this pod is the one that the table means by the member's name. It needs o.mu.
func (o *ownership) named() bool {
	if o.incarnation == "" {
		return true
	}
	pods := o.state.Incarnations[o.self]
	return len(pods) > 0 && pods[0] == o.incarnation && !o.superseded.Load()
}

// standing says why this pod may do nothing in the member's name; nil where it may.
func (o *ownership) standing() *plane.Problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.superseded.Load():
		return problemSuperseded(o.self, o.state.Table.Epoch)
	case !o.named():
		return problemUnnamed(o.self)
	}
	return nil
}

// begun takes in the table that a process reads first. Where it does not know this pod, no process of it ever served
// anything: so nothing of one is under way in the container.
func (o *ownership) begun(first table.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.incarnation != "" && first.Table.Partitions > 0 && !slices.Contains(first.Incarnations[o.self], o.incarnation) {
		o.settled = true
	}
	o.notify()
}

func problemSuperseded(self string, epoch uint64) *plane.Problem {
	return plane.NewProblem(http.StatusMisdirectedRequest, "superseded", "Another pod has this shard's name",
		fmt.Sprintf("another pod is %s by the table of epoch %d, and this one serves nothing any more; the request was not processed: look up the shard's address and send it again. "+
			"A pod that runs still when another one has its name was deleted by force: stop it", self, epoch)).
		Header(planeconfig.HeaderNotProcessed, "true")
}

func problemUnnamed(self string) *plane.Problem {
	return plane.NewProblem(http.StatusServiceUnavailable, "not-named", "The table does not know this pod yet",
		fmt.Sprintf("the table does not say yet that this pod is %s: the router that moves partitions writes it once it has asked this pod", self)).After(readAgain)
}
