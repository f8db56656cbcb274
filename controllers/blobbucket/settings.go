package blobbucket

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/controllers/scaling"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// fields of the spec by the setting that they are kept by.
var fields = map[planeconfig.BlobSetting]string{
	planeconfig.SettingLifecycle:    "spec.lifecycle",
	planeconfig.SettingVersioning:   "spec.versioning",
	planeconfig.SettingCORS:         "spec.cors",
	planeconfig.SettingEncryption:   "spec.encryption",
	planeconfig.SettingRetention:    "spec.objectLock.retention",
	planeconfig.SettingPublicAccess: "the block of public access",
}

// settings of the bucket, as the plane keeps them.
func settings() *pattern.Told[*v1alpha1.BlobBucket] {
	return &pattern.Told[*v1alpha1.BlobBucket]{
		Condition: v1alpha1.ConditionBucketReady,
		Pending:   v1alpha1.ReasonBucketPending,
		Metric:    planeconfig.MetricBlobSetting,
		Say:       say,
	}
}

func say(_ *v1alpha1.BlobBucket, samples []scaling.Sample) pattern.Verdict {
	by := map[planeconfig.BlobState][]string{}
	for _, s := range samples {
		if s.Value != 1 {
			continue
		}
		setting := s.Labels[planeconfig.LabelSetting]
		name, known := fields[planeconfig.BlobSetting(setting)]
		if !known {
			name = setting
		}
		state := planeconfig.BlobState(s.Labels[planeconfig.LabelState])
		by[state] = append(by[state], name)
	}
	list := func(state planeconfig.BlobState) string {
		slices.Sort(by[state])
		return strings.Join(by[state], ", ")
	}
	switch {
	case len(by) == 0:
		return pattern.Verdict{Reason: v1alpha1.ReasonBucketPending, Message: "the plane has not looked at the bucket yet"}
	case len(by[planeconfig.StateFailing]) > 0:
		return pattern.Verdict{Reason: v1alpha1.ReasonBucketFailing, Message: fmt.Sprintf(
			"%s could not be looked at or put right in the store: the log of the plane's pods says why; it is tried again", list(planeconfig.StateFailing))}
	case len(by[planeconfig.StateUnsupported]) > 0:
		return pattern.Verdict{Reason: v1alpha1.ReasonBucketUnsupported, Message: fmt.Sprintf(
			"%s can be done by neither this store nor Trellis, all or some of it, and is not done: the log of the plane's pods says what; remove it from the spec, or make the bucket on an Engine that has it",
			list(planeconfig.StateUnsupported))}
	case len(by[planeconfig.StateTrellis]) > 0:
		return pattern.Verdict{OK: true, Reason: v1alpha1.ReasonBucketByTrellis, Message: fmt.Sprintf(
			"the bucket is as the spec says; Trellis does %s itself, as the store does not", list(planeconfig.StateTrellis))}
	default:
		return pattern.Verdict{OK: true, Reason: v1alpha1.ReasonBucketReady, Message: "the bucket is as the spec says"}
	}
}
