package jobqueue

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
	"github.com/trellis-dev/trellis/pkg/jobs"
)

// sinksDir has a folder for each sink that wants a token, with the file token.
const sinksDir = "/etc/trellis/sinks"

// eventTypes are the CloudEvents' types by what the API calls them.
var eventTypes = map[v1alpha1.SinkEventType]string{
	"accepted": jobs.EventAccepted, "started": jobs.EventStarted, "progress": jobs.EventProgress,
	"succeeded": jobs.EventSucceeded, "failed": jobs.EventFailed, "dead": jobs.EventDead,
}

func sinksConfig(q *v1alpha1.JobQueue, in pattern.Inputs) []planeconfig.Sink {
	var out []planeconfig.Sink
	for _, s := range q.Spec.Sinks {
		sink := planeconfig.Sink{Name: s.Name, URL: s.URL, Subject: s.Subject}
		for _, t := range s.Types {
			sink.Types = append(sink.Types, eventTypes[t])
		}
		if r, ok := in.Sinks[s.Name]; ok {
			sink.URL, sink.TokenFile = r.URL, sinksDir+"/"+s.Name+"/token"
		}
		out = append(out, sink)
	}
	return out
}

// sinkTokens is a volume with the tokens of the sinks that are patterns. Each may be missing for a time, as its
// pattern may be made later or anew.
func sinkTokens(q *v1alpha1.JobQueue, in pattern.Inputs) (corev1.Volume, bool) {
	var sources []corev1.VolumeProjection
	for _, s := range q.Spec.Sinks {
		r, ok := in.Sinks[s.Name]
		if !ok {
			continue
		}
		sources = append(sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: r.BindingSecret},
			Items:                []corev1.KeyToPath{{Key: "token", Path: s.Name + "/token"}},
			Optional:             ptr.To(true),
		}})
	}
	return corev1.Volume{Name: "sinks", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: sources, DefaultMode: ptr.To[int32](0o440),
	}}}, len(sources) > 0
}
