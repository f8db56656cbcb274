package served

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/ring"
	"github.com/trellis-dev/trellis/test/bench/process"
)

// ID of a shard by its number.
func ID(i int) string { return fmt.Sprintf("orders-shs-%d", i) }

// Config of a ShardSet with the operator's defaults, whose key is in a header. Its files are in dir.
func Config(dir, header string, shards int) (planeconfig.Config, error) {
	token := filepath.Join(dir, "memberToken")
	cfg := planeconfig.Config{
		Kind: "ShardSet", Name: "orders", Engine: planeconfig.Engine{Type: "Memory"},
		Shards: &planeconfig.Shards{
			// There is no cluster in which these would be.
			RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", MembersService: "orders-shs-members",
			Partitions: ring.DefaultPartitions, MemberTokenFile: token, Container: planeconfig.ShardContainer{Port: 80},
			Key: planeconfig.ShardKey{Header: header}, Placement: planeconfig.ShardPlacement{Strategy: string(ring.ByHash)},
			Router: planeconfig.ShardRouter{Authentication: "Token", Retries: 2}, Resharding: planeconfig.ShardResharding{Mode: "None"},
			Members: Members(shards),
		},
	}
	return cfg, os.WriteFile(token, []byte("member-"+process.Token), 0o600)
}

// Members are the first shards.
func Members(shards int) []planeconfig.ShardMember {
	out := make([]planeconfig.ShardMember, shards)
	for i := range out {
		out[i] = planeconfig.ShardMember{ID: ID(i)}
	}
	return out
}

// PortOf an address, host:port.
func PortOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
