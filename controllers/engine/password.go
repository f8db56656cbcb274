package engine

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// A rotated password reaches members and planes each in its own time, as the kubelet mounts it. So
// every member accepts the password and the one before, and planes try both. Toward each other the
// members use the one before until all that answer accept the newer one (scripts/rotate.sh).
const (
	// acceptBoth is for the configuration of a server or a Sentinel.
	acceptBoth = "user default on >${password} >${previousPassword} ~* &* +@all\n"
	// bothPasswords are one file, so that they are never of two rotations.
	bothPasswords = "${password} ${previousPassword}\n"
	// mountedWithin is how long a kubelet takes at most until a pod sees its Secret as it is, and
	// members have asked one another: 90 seconds, and some. It must be over before the next rotation.
	mountedWithin = 2 * time.Minute
	// runVolume has what a member's containers tell each other. Pods without it, of an older version,
	// do not take up a password while they run.
	runVolume = "run"
)

func redisPassword() map[string]pattern.Generator {
	return map[string]pattern.Generator{
		"password": {Bytes: 24, Previous: planeconfig.KeyPreviousPassword, Settle: mountedWithin},
	}
}

func memberMounts() []corev1.VolumeMount {
	return []corev1.VolumeMount{
		{Name: "config", MountPath: configDir, ReadOnly: true},
		{Name: "auth", MountPath: authDir, ReadOnly: true},
		{Name: "data", MountPath: "/data"},
		{Name: runVolume, MountPath: "/run/valkey"},
	}
}

// rotatable is true when every member would take up a new password while it runs.
func rotatable(e *v1alpha1.Engine, in pattern.Inputs, alive []client.Object) pattern.Verdict {
	switch e.Spec.Type {
	case v1alpha1.EngineNATS:
		return natsRotatable(external(e, classEntry(in.Class, e.Spec.Type)))
	case v1alpha1.EngineS3:
		return s3Rotatable(external(e, classEntry(in.Class, e.Spec.Type)))
	}
	if external(e, classEntry(in.Class, e.Spec.Type)) {
		return pattern.Verdict{Reason: v1alpha1.ReasonRotatedElsewhere, Message: "the credentials of this engine are its owner's, and are not rotated here: " +
			"have it accept a new password beside the old one, put the new one into the Secret that secretRef names, and end the old one two minutes later"}
	}
	for _, obj := range alive {
		sts, ok := obj.(*appsv1.StatefulSet)
		if !ok || ptr.Deref(sts.Spec.Replicas, 1) == 0 {
			continue
		}
		if !slices.ContainsFunc(sts.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == runVolume }) {
			return pattern.Verdict{Reason: v1alpha1.ReasonRotationWaiting, Message: "the pods are of a version of Trellis that could not rotate: " +
				"let their update go first (condition UpdateAvailable)"}
		}
		n := ptr.Deref(sts.Spec.Replicas, 1)
		if s := sts.Status; s.ObservedGeneration < sts.Generation || s.UpdatedReplicas < n || s.ReadyReplicas < n {
			return pattern.Verdict{Reason: v1alpha1.ReasonRotationWaiting, Message: "waits until every member is up to date and ready"}
		}
	}
	return pattern.Verdict{OK: true}
}
