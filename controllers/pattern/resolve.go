package pattern

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
)

// resolve looks up all that the plan depends on, and plans. What is missing or
// not allowed ends in s.accepted, before anything is created.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	s.inputs.ClusterDomain = r.clusterDomain
	steps := []func(context.Context, *scope) error{
		r.resolveGrants, r.resolveClass, r.resolveAPIs, r.resolveSecrets, r.resolveSource, r.resolveReads, r.resolveSinks, r.resolveEngines,
		r.resolveConsumers,
	}
	for _, step := range steps {
		if err := step(ctx, s); err != nil || s.refused() {
			return err
		}
	}
	if err := r.takeCensus(ctx, s); err != nil {
		return err
	}
	plan, err := compose(r.kind, s.obj, s.inputs)
	if err != nil {
		s.refuse(reasonOf(err), err.Error(), true)
		return nil
	}
	s.plan = plan
	return nil
}

func (r *Reconciler) resolveClass(ctx context.Context, s *scope) error {
	var classes v1alpha1.PatternClassList
	if err := r.client.List(ctx, &classes); err != nil {
		return fmt.Errorf("list classes: %w", err)
	}
	class, problem := pickClass(classNameOf(s.obj), classes.Items)
	if class == nil {
		s.refuse(v1alpha1.ReasonClassNotFound, problem, false)
		return nil
	}
	s.inputs.Class = class
	s.policy = r.policy(s.obj, class)
	s.obj.GetPatternStatus().DefaultClassName = ""
	if s.obj.GetPatternSpec().ClassName == "" {
		s.obj.GetPatternStatus().DefaultClassName = class.Name
	}
	s.needs = r.kind.needs(s.obj, class)
	s.accepted = admit(admission{class: class, needs: s.needs})
	return nil
}

func (r *Reconciler) resolveAPIs(_ context.Context, s *scope) error {
	for _, gvk := range s.needs.APIs {
		_, err := r.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		if meta.IsNoMatchError(err) {
			s.refuse(v1alpha1.ReasonAPINotInstalled, fmt.Sprintf(
				"the cluster does not serve %s (%s): install it, or expose the pattern in another way", gvk.Kind, gvk.GroupVersion()), false)
			s.again = lookAgain
			return nil
		}
		if err != nil {
			return fmt.Errorf("look up %s: %w", gvk.Kind, err)
		}
		if gvk == httpRoute {
			if err := r.routes.start(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) resolveSecrets(ctx context.Context, s *scope) error {
	for _, need := range s.needs.Secrets {
		key := client.ObjectKey{Namespace: s.obj.GetNamespace(), Name: need.Name}
		data, err := r.secrets.read(ctx, key)
		switch {
		case apierrors.IsNotFound(err):
			s.missingSecret(need.Field, key)
			return nil
		case err != nil:
			return fmt.Errorf("read the Secret of %s: %w", need.Field, err)
		case need.Key != "" && len(data[need.Key]) == 0:
			r.secrets.forget(key)
			s.refuse(v1alpha1.ReasonReferenceInvalid, fmt.Sprintf(
				"Secret %q, which %s names, has no key %q: add it", need.Name, need.Field, need.Key), false)
			s.again = lookAgain
			return nil
		}
	}
	return nil
}

func (r *Reconciler) resolveSource(ctx context.Context, s *scope) error {
	if s.needs.Source == nil {
		return nil
	}
	data, err := r.secrets.read(ctx, *s.needs.Source)
	if apierrors.IsNotFound(err) {
		s.missingSecret("external.secretRef", *s.needs.Source)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the Secret of the external engine: %w", err)
	}
	s.inputs.Source = data
	return nil
}

func (s *scope) missingSecret(field string, key client.ObjectKey) {
	s.refuse(v1alpha1.ReasonReferenceNotFound, fmt.Sprintf(
		"Secret %q, which %s names, does not exist in namespace %q: create it (with the label %s=true it is noticed at once)",
		key.Name, field, key.Namespace, v1alpha1.LabelWatch), false)
	s.again = lookAgain
}

// forgetSource makes the next reconcile read an external engine's Secret again.
func (r *Reconciler) forgetSource(s *scope) {
	if s.needs.Source != nil {
		r.secrets.forget(*s.needs.Source)
	}
}

func (r *Reconciler) resolveEngines(ctx context.Context, s *scope) error {
	s.inputs.resolveEngines(s.obj, s.needs)
	inputs := s.inputs.Engines()
	for i, need := range s.needs.engines() {
		engine, err := r.resolveEngine(ctx, s, need, inputs[i])
		if err != nil || s.refused() {
			return err
		}
		s.engines = append(s.engines, engine)
	}
	return nil
}

// resolveEngine returns nil for an Engine that is to be made.
func (r *Reconciler) resolveEngine(ctx context.Context, s *scope, need EngineNeed, in *EngineInput) (*v1alpha1.Engine, error) {
	engine := &v1alpha1.Engine{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: s.obj.GetNamespace(), Name: in.Name}, engine)
	switch {
	case apierrors.IsNotFound(err) && in.Given:
		s.refuse(v1alpha1.ReasonReferenceNotFound, fmt.Sprintf(
			"Engine %q, which %s.ref names, does not exist: create it, or remove ref to have one made", in.Name, need.field()), false)
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("get engine: %w", err)
	case engine.Spec.Type != need.Type:
		s.refuse(v1alpha1.ReasonReferenceInvalid, fmt.Sprintf(
			"Engine %q is of type %s and one of type %s is needed: name another Engine in %s.ref",
			engine.Name, engine.Spec.Type, need.Type, need.field()), true)
	case !in.Given && !in.Dedicated && metav1.GetControllerOf(engine) != nil:
		s.refuse(v1alpha1.ReasonNameConflict, fmt.Sprintf(
			"Engine %q, whose name the shared one would have, belongs to %s %s alone: name an Engine in %s.ref, or choose another class",
			engine.Name, metav1.GetControllerOf(engine).Kind, metav1.GetControllerOf(engine).Name, need.field()), false)
	default:
		return engine, r.resolveExternal(ctx, engine, in)
	}
	return nil, nil
}

// resolveExternal looks at the class of the Engine in use, which may be another than the pattern's.
func (r *Reconciler) resolveExternal(ctx context.Context, engine *v1alpha1.Engine, in *EngineInput) error {
	class := &v1alpha1.PatternClass{}
	err := r.client.Get(ctx, client.ObjectKey{Name: classNameOf(engine)}, class)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get the class of the engine: %w", err)
	}
	in.External = EngineExternal(engine, class)
	in.PublicURL = EnginePublicURL(engine)
	return nil
}

func (r *Reconciler) resolveConsumers(ctx context.Context, s *scope) error {
	if !s.needs.CountConsumers {
		return nil
	}
	users, err := r.consumers(ctx, r.client, s.obj)
	s.inputs.Consumers = int32(len(users))
	return err
}
