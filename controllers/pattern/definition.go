package pattern

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/scaling"
)

// Definition is all that the pipeline has to know of a kind. Needs, Plan and
// Observe are pure: no client, no clock, no randomness.
type Definition[T v1alpha1.Pattern] struct {
	// Kind is the Go and API name, e.g. "RealtimeGateway".
	Kind string
	// New returns an empty object.
	New func() T
	// Needs says what must be looked up before the plan, and what it asks of the class.
	Needs func(obj T, class *v1alpha1.PatternClass) Needs
	// Plan says which objects there should be. An error is one that the user can mend.
	Plan func(obj T, in Inputs) (Plan, error)
	// Probe, when set, asks something outside the cluster's API whether it works, every
	// ProbeInterval. It returns nil where there is nothing to ask.
	Probe func(ctx context.Context, obj T, in Inputs, seen Observed) *ProbeResult
	// Rotatable, when set, says whether generated credentials can be made anew now, with what is alive of
	// the children; without it they always can.
	Rotatable func(obj T, in Inputs, alive []client.Object) Verdict
	// Receiver, when set, says where an object of this kind takes events; a kind without it takes none. The
	// object need not exist.
	Receiver func(ReceiverKey) Receiver
	// Scaling says how the object scales by itself, nil where it does not or can not now. The
	// children of the plan that bear the load are marked Scaled, or the plan's Once does.
	Scaling func(obj T) *scaling.Spec
	// StopsFirst is the component, by its label, whose pods stop before the object's other Deployments do: when it is
	// suspended, and when it is deleted. Empty where all stop together.
	StopsFirst string
	// Drain, when set, has a deleted object work off what it has taken before that.
	Drain *Drain[T]
	// Keeps, when set, is true of an object whose data a deletion keeps whatever the policy says.
	Keeps func(obj T) bool
	// Census, when set, counts now and then what an object holds.
	Census *Census[T]
	// Told, when set, is what the pods tell of, in a condition of its own.
	Told *Told[T]
	// Observe reads what is alive and says how the object is. It may set the fields of obj.Status
	// that only this kind has.
	Observe func(obj T, seen Observed) Health
}

// Needs is what a kind asks for before it plans.
type Needs struct {
	// Engine is the engine that the pattern uses, nil where it uses none.
	Engine *EngineNeed
	// Others are engines that it uses besides, each in a role of its own.
	Others []EngineNeed
	// EngineName is what limits.allowedEngines and the status call it, e.g. "Memory" or "Redis".
	EngineName string
	// Secrets of the object's namespace that must exist. An empty key means the Secret alone.
	Secrets []SecretNeed
	// Source is a Secret whose data the plan copies, nil for none.
	Source *client.ObjectKey
	// Reads are ConfigMaps that the plan makes without data and the object's pods fill: what they hold shapes the plan.
	Reads []string
	// APIs that must be served, e.g. HTTPRoute.
	APIs []schema.GroupVersionKind
	// Replicas of the plane that the spec asks for at most, and the field that does.
	Replicas      int32
	ReplicasField string
	// Storage that the spec asks for, all replicas together; nil for none.
	Storage *resource.Quantity
	// CountConsumers asks for the number of patterns that use this Engine.
	CountConsumers bool
	// OffersEngine must be a type that the class offers or the spec provides; empty for none.
	OffersEngine v1alpha1.EngineType
	// Playground is true when the spec enables the page to try the pattern by hand.
	Playground bool
}

// ReceiverKey says which object is to take events.
type ReceiverKey struct {
	Namespace, Name string
	// ClusterDomain ends the DNS names of Services.
	ClusterDomain string
}

// Receiver is where an object takes events.
type Receiver struct {
	// URL to post CloudEvents to.
	URL string
	// BindingSecret whose key token it wants as a bearer token.
	BindingSecret string
	// Copied is true of a receiver in another namespace: BindingSecret is a Secret of the sender's then, which the
	// pipeline makes, with Token, for as long as there is one.
	Copied bool
	Token  []byte
}

// EngineNeed says which Engine a pattern uses.
type EngineNeed struct {
	Type      v1alpha1.EngineType
	Selection *v1alpha1.EngineSelection
	// Role of one of Needs.Others, e.g. "ledger"; empty for Needs.Engine.
	Role string
}

// field of the spec that selects the Engine.
func (n EngineNeed) field() string {
	if n.Role == "" {
		return "spec.engineSelection"
	}
	return "spec." + n.Role + "Selection"
}

// engines are all that are needed, the pattern's own first.
func (n Needs) engines() []EngineNeed {
	if n.Engine == nil {
		return n.Others
	}
	return append([]EngineNeed{*n.Engine}, n.Others...)
}

// SecretNeed is a Secret that a spec names, and in which field.
type SecretNeed struct {
	Name, Key, Field string
}

// Inputs is all that a plan may depend on besides its object.
type Inputs struct {
	// Class is the resolved class.
	Class *v1alpha1.PatternClass
	// Engine is the resolved engine, nil where the pattern uses none.
	Engine *EngineInput
	// Others are those of Needs.Others, in that order.
	Others []*EngineInput
	// Source is the data of the Secret that Needs.Source named.
	Source map[string][]byte
	// Read is the data of those of Needs.Reads that there are, by name. It may be old, but for a StatefulSet that is about to
	// be written: see confirm.
	Read map[string]map[string]string
	// Sinks that are patterns, by the name of the sink.
	Sinks map[string]Receiver
	// Consumers is the number of patterns that use this Engine (Engines only).
	Consumers int32
	// ClusterDomain ends the DNS names of Services, e.g. "cluster.local".
	ClusterDomain string
}

// Engines are all that are used, the pattern's own first.
func (in Inputs) Engines() []*EngineInput {
	if in.Engine == nil {
		return in.Others
	}
	return append([]*EngineInput{in.Engine}, in.Others...)
}

// resolveEngines fills in what needs no look-up.
func (in *Inputs) resolveEngines(obj v1alpha1.Pattern, needs Needs) {
	in.Engine, in.Others = nil, nil
	if needs.Engine != nil {
		in.Engine = needs.Engine.Input(obj, in.Class)
	}
	for _, n := range needs.Others {
		in.Others = append(in.Others, n.Input(obj, in.Class))
	}
}

// EngineInput is an Engine as a plan sees it.
type EngineInput struct {
	Type v1alpha1.EngineType
	// Role of one of Inputs.Others; empty for Inputs.Engine.
	Role string
	// Name of the Engine.
	Name string
	// BindingSecret holds the key uri.
	BindingSecret string
	// Given is true when the user named the Engine; then the plan does not make it.
	Given bool
	// Dedicated is true when the Engine belongs to this pattern alone.
	Dedicated bool
	// External is true when the Engine is run by others or, where there is none yet, would be.
	External bool
	// PublicURL is where clients outside the cluster reach an S3 that Trellis runs, without a slash at its end; empty
	// where it is not exposed. Of one that others run, the plane reads it from the Secret.
	PublicURL string
}

// Plan is what a kind wants to exist.
type Plan struct {
	// Children in the order in which they are applied.
	Children []Child
	// Binding is the name of the binding Secret.
	Binding string
	// Address, as a URL, receives CloudEvents; empty for none.
	Address string
	// Endpoints in the order of use; the first is printed by kubectl get.
	Endpoints []v1alpha1.Endpoint
	// Impact of a deletion.
	Impact []v1alpha1.DeletionImpact
	// Once is the work that is run in Jobs, one for each piece; nil for none.
	Once *Once
	// Follows is what the plan has of the object's status or of Inputs.Read in what pods are made of; empty where it has
	// nothing of it. It reaches them as what a user changes does: no new operator is behind it.
	Follows string
	// Recommendation for the user; empty for none.
	Recommendation string
}

// Child is one object of a plan.
type Child struct {
	client.Object
	// Retain keeps the object when its owner is deleted under the policy Retain.
	Retain bool
	// Shared objects are made once and belong to nobody: never updated, owned or pruned.
	Shared bool
	// Scaled is true for a Deployment whose number of replicas follows its load: the plan's is the one
	// to start with.
	Scaled bool
	// TellsLoad is true for a Deployment whose pods say what the scaled one is scaled by, each the whole of it; without
	// one, the scaled pods say it themselves.
	TellsLoad bool
	// Generate fills keys of a Secret with random text, once. The values replace ${key}
	// in the Secret's other values.
	Generate map[string]Generator
}

// Generator says how a secret value is made.
type Generator struct {
	// Bytes of randomness; the value is its unpadded base64url text or, with Hex, its hexadecimal one.
	Bytes int
	Hex   bool
	// Previous is the key that keeps the value before when the credentials are rotated, until they are
	// the next time. Without it, the value is never made anew. In the Secret's other values ${Previous} is
	// that value too or, before the first rotation, the one of now.
	Previous string
	// Settle is how long it takes until everybody has read a new value: so long the next rotation waits.
	Settle time.Duration
	// Ends is true where the value before is refused from when the new one is taken up.
	Ends bool
}

// Observed is what the pipeline found alive.
type Observed struct {
	// Children as the API server has them, the planned ones only.
	Children []client.Object
	// Once are the Jobs of the plan's Once.
	Once []batchv1.Job
	// Engine in use, nil when there is none or it does not exist yet.
	Engine *v1alpha1.Engine
	// Others in use, as Inputs.Others, nil for each that does not exist yet.
	Others []*v1alpha1.Engine
	// Claims that hold the object's data (by label).
	Claims []corev1.PersistentVolumeClaim
	// Probe is what the probe found, nil where there was none.
	Probe *ProbeResult
	// Consumers is the number of patterns that use this Engine.
	Consumers int32
	// Read is what the plan was made from, as Inputs.Read.
	Read map[string]map[string]string
	// Stopping is true while the object is to stop, and pods that stop first are there yet.
	Stopping bool
}

// Health is what a kind says of itself.
type Health struct {
	// Plane is the condition PlaneReady; nil where the kind has no plane.
	Plane *Verdict
	// Engine is the condition EngineReady.
	Engine *Verdict
	// Workers is the condition WorkersReady; nil where the kind runs none.
	Workers *Verdict
}

// Verdict is a condition without its time.
type Verdict struct {
	OK              bool
	Reason, Message string
	// Stalled is true when nothing will go on until somebody changes something.
	Stalled bool
	// Progressing is true when it works and is being changed.
	Progressing bool
}

// ProbeResult is what a probe found.
type ProbeResult struct {
	Verdict
	// Version that the engine reports.
	Version string
}

// kind is a Definition with its type erased, for the pipeline.
type kind interface {
	name() string
	newObject() v1alpha1.Pattern
	needs(v1alpha1.Pattern, *v1alpha1.PatternClass) Needs
	plan(v1alpha1.Pattern, Inputs) (Plan, error)
	observe(v1alpha1.Pattern, Observed) Health
	probe(context.Context, v1alpha1.Pattern, Inputs, Observed) *ProbeResult
	rotatable(v1alpha1.Pattern, Inputs, []client.Object) Verdict
	scaling(v1alpha1.Pattern) *scaling.Spec
	scales() bool
	receiver(ReceiverKey) (Receiver, bool)
	stopsFirst() string
	keeps(v1alpha1.Pattern) bool
	census() []scaling.Gauge
	note(obj v1alpha1.Pattern, c Counts, now metav1.Time, asked bool)
	drain(v1alpha1.Pattern, v1alpha1.DeletionPolicy) *drainOf
	told(v1alpha1.Pattern) *toldOf
}

func (d Definition[T]) name() string                { return d.Kind }
func (d Definition[T]) newObject() v1alpha1.Pattern { return d.New() }

func (d Definition[T]) needs(obj v1alpha1.Pattern, class *v1alpha1.PatternClass) Needs {
	n := d.Needs(obj.(T), class)
	n.Secrets = append(n.Secrets, sinkSecrets(obj.GetPatternSpec().Sinks)...)
	return n
}

func (d Definition[T]) plan(obj v1alpha1.Pattern, in Inputs) (Plan, error) {
	return d.Plan(obj.(T), in)
}

func (d Definition[T]) observe(obj v1alpha1.Pattern, seen Observed) Health {
	return d.Observe(obj.(T), seen)
}

func (d Definition[T]) probe(ctx context.Context, obj v1alpha1.Pattern, in Inputs, seen Observed) *ProbeResult {
	if d.Probe == nil {
		return nil
	}
	return d.Probe(ctx, obj.(T), in, seen)
}

func (d Definition[T]) rotatable(obj v1alpha1.Pattern, in Inputs, alive []client.Object) Verdict {
	if d.Rotatable == nil {
		return Verdict{OK: true}
	}
	return d.Rotatable(obj.(T), in, alive)
}

func (d Definition[T]) receiver(key ReceiverKey) (Receiver, bool) {
	if d.Receiver == nil {
		return Receiver{}, false
	}
	return d.Receiver(key), true
}

func (d Definition[T]) stopsFirst() string { return d.StopsFirst }

func (d Definition[T]) keeps(obj v1alpha1.Pattern) bool { return d.Keeps != nil && d.Keeps(obj.(T)) }

func (d Definition[T]) scales() bool { return d.Scaling != nil }

func (d Definition[T]) scaling(obj v1alpha1.Pattern) *scaling.Spec {
	if d.Scaling == nil {
		return nil
	}
	return d.Scaling(obj.(T))
}

// BindingSecretName is the name of the binding Secret of a pattern whose children are named base.
func BindingSecretName(base string) string { return base + "-binding" }

// EngineName is the name of the Engine that a need resolves to.
func (n EngineNeed) EngineName(obj v1alpha1.Pattern, class *v1alpha1.PatternClass) string {
	suffix := "-" + engineSuffix(n.Type)
	switch s := n.Selection; {
	case s != nil && s.Ref != nil:
		return s.Ref.Name
	case s != nil && s.Sharing == v1alpha1.EngineDedicated:
		return obj.GetName() + suffix
	default:
		return class.Name + suffix
	}
}

// engineSuffix is short enough for the names of an Engine's pods.
func engineSuffix(t v1alpha1.EngineType) string {
	if t == v1alpha1.EnginePostgreSQL {
		return "pgsql"
	}
	return strings.ToLower(string(t))
}

// Input resolves a need without looking anything up.
func (n EngineNeed) Input(obj v1alpha1.Pattern, class *v1alpha1.PatternClass) *EngineInput {
	name := n.EngineName(obj, class)
	given := n.Selection != nil && n.Selection.Ref != nil
	return &EngineInput{
		Type:          n.Type,
		Role:          n.Role,
		Name:          name,
		BindingSecret: BindingSecretName(EngineBase(name)),
		Given:         given,
		Dedicated:     n.Selection != nil && n.Selection.Sharing == v1alpha1.EngineDedicated,
		External:      !given && EngineExternal(&v1alpha1.Engine{Spec: v1alpha1.EngineSpec{Type: n.Type}}, class),
	}
}

// EngineExternal is true when an Engine, or else its class, points at an engine elsewhere.
func EngineExternal(e *v1alpha1.Engine, class *v1alpha1.PatternClass) bool {
	if e.Spec.External != nil || e.Spec.Provisioned != nil || class == nil {
		return e.Spec.External != nil
	}
	return slices.ContainsFunc(class.Spec.Engines, func(c v1alpha1.EngineClass) bool {
		return c.Type == e.Spec.Type && c.External != nil
	})
}

// EngineBase is what the names of an Engine's children start with.
func EngineBase(engine string) string { return fmt.Sprintf("%s-eng", engine) }
