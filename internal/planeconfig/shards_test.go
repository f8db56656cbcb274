package planeconfig

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shardConfig is of a ShardSet that has all that can be set.
func shardConfig(mutate ...func(*Shards)) Config {
	s := &Shards{
		RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", Partitions: 64,
		Members:        []ShardMember{{ID: "orders-shs-0", Weight: 2}, {ID: "orders-shs-1"}},
		MembersService: "orders-shs-members", MemberTokenFile: "/keys/member-token",
		History: []ShardMembership{{Epoch: 1, Members: []ShardMember{{ID: "orders-shs-0"}}}},
		Key:     ShardKey{JSONBody: "/id", MaxBytes: 64, MaxBodyBytes: 4096},
		Placement: ShardPlacement{
			Strategy: "Directory", Directory: map[string]int{"acme": 0, "globex": 1}, DirectoryFallback: "Refuse", Pins: map[int]string{0: "orders-shs-1"},
		},
		Router: ShardRouter{
			Authentication: "None", ConnectTimeout: Duration(500 * time.Millisecond), RequestTimeout: Duration(90 * time.Second), Retries: 3, RetryBudget: 10,
			Overload: ShardOverload{
				MinConcurrency: 8, MaxConcurrency: 80, Queue: -1, QueueTimeout: Duration(2 * time.Second), PriorityHeader: "X-Priority",
				Classes: []string{"high", "low"}, DefaultClass: "low", HotPartition: 5,
			},
		},
		Resharding: ShardResharding{
			Mode: "Hook", ExportPath: "/out/{partition}", ImportPath: "/in/{partition}", MaxMoving: 4, PauseLimit: Duration(3 * time.Second), HeldRequests: -1, Paused: true,
		},
		Domains:   []ShardDomain{{PathPrefix: "/carts/", URL: "http://carts-shs", TokenFile: "/domains/carts/token"}},
		Container: ShardContainer{Port: 9000, H2C: true, ReadyPath: "/ready", DrainTimeout: Duration(time.Minute)},
	}
	for _, m := range mutate {
		m(s)
	}
	return Config{Kind: "ShardSet", Namespace: "apps", Name: "orders", Auth: Auth{TokenFile: "/t", SigningKeyFile: "/k"}, Engine: Engine{}, Shards: s}
}

func TestShardsComeBackAsTheyWere(t *testing.T) {
	want := shardConfig()
	text, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Shards, got.Shards); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := UnknownField(text); err != nil {
		t.Errorf("a field is not known again: %v", err)
	}
	again, err := Encode(got)
	if err != nil || !strings.Contains(string(again), `"queue": -1`) {
		t.Errorf("no queue at all is not kept: %v\n%s", err, again)
	}
}

// least is what an operator writes that leaves out all that has a default.
const least = `{
  "kind": "ShardSet", "namespace": "apps", "name": "orders", "http": {}, "engine": {"type": ""}, "drain": {},
  "auth": {"tokenFile": "/t", "signingKeyFile": "/k"},
  "shards": {
    "ringConfigMap": "r", "moverLease": "l", "configMap": "c", "partitions": 16, "members": [{"id": "a"}], "membersService": "m", "memberTokenFile": "/m",
    "key": {"header": "X-Key"}, "placement": {"strategy": "Hash"}, "router": {"authentication": "Token", "retries": 0, "overload": {}},
    "resharding": {"mode": "None"}, "container": {"port": 9000}
  }
}`

// TestShardsOfAnotherVersion shows what a plane makes of a configuration that says less than it knows, or more.
func TestShardsOfAnotherVersion(t *testing.T) {
	want := &Shards{
		RingConfigMap: "r", MoverLease: "l", ConfigMap: "c", Partitions: 16, Members: []ShardMember{{ID: "a"}}, MembersService: "m", MemberTokenFile: "/m",
		Key:       ShardKey{Header: "X-Key", MaxBytes: 1024, MaxBodyBytes: 1 << 20},
		Placement: ShardPlacement{Strategy: "Hash"},
		Router: ShardRouter{
			Authentication: "Token", ConnectTimeout: Duration(time.Second), RequestTimeout: Duration(30 * time.Second), RetryBudget: 20,
			Overload: ShardOverload{MinConcurrency: 4, MaxConcurrency: 1000, Queue: 100, QueueTimeout: Duration(time.Second), HotPartition: 20},
		},
		Resharding: ShardResharding{Mode: "None", MaxMoving: 1, PauseLimit: Duration(10 * time.Second), HeldRequests: 1000},
		Container:  ShardContainer{Port: 9000, DrainTimeout: Duration(30 * time.Second)},
	}
	newer := strings.Replace(least, `"container": {`, `"writeQueue": {"size": 1}, "container": {"maxStreams": 7, `, 1)
	for name, c := range map[string]struct{ text, unknown string }{
		"an older one": {least, ""},
		"a newer one":  {newer, "writeQueue"},
	} {
		got, err := Decode([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got.Shards); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if err := UnknownField([]byte(c.text)); (err == nil) != (c.unknown == "") || err != nil && !strings.Contains(err.Error(), c.unknown) {
			t.Errorf("%s: the field that is not known is %v, want %q", name, err, c.unknown)
		}
	}
}

func TestShardsAreChecked(t *testing.T) {
	const (
		power = "shards.partitions must be a power of two of at most 16384"
		port  = "shards.container.port must be that which the container serves at"
	)
	for name, c := range map[string]struct {
		mutate func(*Shards)
		want   []string
	}{
		"all that is set":            {func(*Shards) {}, nil},
		"no table":                   {func(s *Shards) { s.RingConfigMap = "" }, []string{"shards.ringConfigMap must be set"}},
		"no ConfigMap":               {func(s *Shards) { s.ConfigMap = "" }, []string{"shards.configMap must be set"}},
		"no Lease":                   {func(s *Shards) { s.MoverLease = "" }, []string{"shards.moverLease must be set"}},
		"no Service":                 {func(s *Shards) { s.MembersService = "" }, []string{"shards.membersService must be set"}},
		"no token":                   {func(s *Shards) { s.MemberTokenFile = "" }, []string{"shards.memberTokenFile must be set"}},
		"no partitions":              {func(s *Shards) { s.Partitions = 0 }, []string{power}},
		"fewer than none":            {func(s *Shards) { s.Partitions = -16 }, []string{power}},
		"no power of two":            {func(s *Shards) { s.Partitions = 100 }, []string{power}},
		"too many":                   {func(s *Shards) { s.Partitions = 1 << 15 }, []string{power}},
		"the most":                   {func(s *Shards) { s.Partitions = 1 << 14 }, nil},
		"no port":                    {func(s *Shards) { s.Container.Port = 0 }, []string{port}},
		"a port that there is not":   {func(s *Shards) { s.Container.Port = 1 << 16 }, []string{port}},
		"a member without an ID":     {func(s *Shards) { s.Members[0].ID = "" }, []string{`shards.members must have an id each, and "" is there twice or empty`}},
		"a member twice":             {func(s *Shards) { s.Members[0].ID = "orders-shs-1" }, []string{`shards.members must have an id each, and "orders-shs-1" is there twice or empty`}},
		"no mode":                    {func(s *Shards) { s.Resharding.Mode = "" }, []string{`shards.resharding.mode is "": use Hook or None`}},
		"another mode":               {func(s *Shards) { s.Resharding.Mode = "Copy" }, []string{`shards.resharding.mode is "Copy": use Hook or None`}},
		"a mode without paths":       {func(s *Shards) { s.Resharding = ShardResharding{Mode: "None", MaxMoving: 1, PauseLimit: 1} }, nil},
		"an export of all":           {func(s *Shards) { s.Resharding.ExportPath = "/out" }, []string{"shards.resharding.exportPath must have {partition} in it"}},
		"an import of all":           {func(s *Shards) { s.Resharding.ImportPath = "" }, []string{"shards.resharding.importPath must have {partition} in it"}},
		"nothing that moves":         {func(s *Shards) { s.Resharding.MaxMoving = -1 }, []string{"shards.resharding.maxMoving must be above 0"}},
		"no time to move":            {func(s *Shards) { s.Resharding.PauseLimit = Duration(-time.Second) }, []string{"shards.resharding.pauseLimit must be above 0"}},
		"all that is wrong, at once": {func(s *Shards) { s.MoverLease, s.Partitions, s.Container.Port = "", 3, -1 }, []string{"shards.moverLease must be set", power, port}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, lines(shardConfig(c.mutate).Validate())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// lines are the errors that are joined in one.
func lines(err error) []string {
	var joined interface{ Unwrap() []error }
	if err == nil || !errors.As(err, &joined) {
		return nil
	}
	var out []string
	for _, e := range joined.Unwrap() {
		out = append(out, e.Error())
	}
	return out
}

// TestAShardSetNeedsNoEngine, and all else does.
func TestAShardSetNeedsNoEngine(t *testing.T) {
	c := shardConfig()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.Shards = nil
	if diff := cmp.Diff([]string{`engine.type must be set`, `engine.uriFile must be set for engine ""`}, lines(c.Validate())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWhatPodsAreMadeAnewFor is all that routers and members read when they start, and none of what they take up.
func TestWhatPodsAreMadeAnewFor(t *testing.T) {
	c := shardConfig()
	container := ShardContainer{Port: 9000, H2C: true, ReadyPath: "/ready", DrainTimeout: Duration(time.Minute)}
	want := &Shards{
		RingConfigMap: "orders-shs-ring", MoverLease: "orders-shs-mover", ConfigMap: "orders-shs", Partitions: 64, MembersService: "orders-shs-members",
		MemberTokenFile: "/keys/member-token", Container: container,
	}
	if diff := cmp.Diff(want, c.Fixed().Shards); diff != "" {
		t.Errorf("routers (-want +got):\n%s", diff)
	}
	want.MoverLease, want.ConfigMap = "", ""
	if diff := cmp.Diff(want, c.FixedOfMembers().Shards); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(shardConfig(), c); diff != "" {
		t.Errorf("the configuration itself was changed:\n%s", diff)
	}
}
