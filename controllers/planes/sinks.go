package planes

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/trellis-dev/trellis/api/v1alpha1"
	"github.com/trellis-dev/trellis/controllers/pattern"
	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// sinksDir has a folder for each sink that wants a token or has certificates, with the files token and ca.crt.
const sinksDir = "/etc/trellis/sinks"

const (
	tokenFile = "token"
	caFile    = "ca.crt"
)

// Sinks is what a plane reads of an object's sinks. types are the CloudEvents' types by what the API calls them.
func Sinks(sinks []v1alpha1.Sink, in pattern.Inputs, types map[v1alpha1.SinkEventType]string) []planeconfig.Sink {
	var out []planeconfig.Sink
	for _, s := range sinks {
		sink := planeconfig.Sink{Name: s.Name, URL: s.URL, Filter: s.Filter}
		if s.Mapping != nil {
			sink.Subject, sink.Data = s.Mapping.Subject, s.Mapping.Data
		}
		for _, t := range s.Types {
			sink.Types = append(sink.Types, types[t])
		}
		r, isPattern := in.Sinks[s.Name]
		if isPattern {
			sink.URL = r.URL
		}
		if isPattern || s.TokenSecret != nil {
			sink.TokenFile = sinksDir + "/" + s.Name + "/" + tokenFile
		}
		if s.CACertificates != nil {
			sink.CAFile = sinksDir + "/" + s.Name + "/" + caFile
		}
		out = append(out, sink)
	}
	return out
}

// SinkMount has the tokens and the certificates of an object's sinks; false where there are none. Each may be missing for
// a time, as its pattern may be made later or anew: the events of that sink wait then.
func SinkMount(sinks []v1alpha1.Sink, in pattern.Inputs) (Mount, bool) {
	var sources []corev1.VolumeProjection
	for _, s := range sinks {
		if r, ok := in.Sinks[s.Name]; ok {
			sources = append(sources, secretKey(r.BindingSecret, "token", s.Name+"/"+tokenFile))
		}
		if t := s.TokenSecret; t != nil {
			sources = append(sources, secretKey(t.Name, t.Key, s.Name+"/"+tokenFile))
		}
		if c := s.CACertificates; c != nil {
			sources = append(sources, certificates(c, s.Name+"/"+caFile))
		}
	}
	return Mount{Dir: sinksDir, Volume: corev1.Volume{Name: "sinks", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: sources, DefaultMode: ptr.To[int32](0o440)},
	}}}, len(sources) > 0
}

func secretKey(name, key, path string) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: name},
		Items:                []corev1.KeyToPath{{Key: key, Path: path}},
		Optional:             ptr.To(true),
	}}
}

func certificates(c *v1alpha1.CertificatesReference, path string) corev1.VolumeProjection {
	if c.Kind == v1alpha1.CertificatesSecret {
		return secretKey(c.Name, c.Key, path)
	}
	return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: c.Name},
		Items:                []corev1.KeyToPath{{Key: c.Key, Path: path}},
		Optional:             ptr.To(true),
	}}
}
