// Package scaling decides how many replicas a load asks for, as the
// HorizontalPodAutoscaler v2 does, and reads that load from the pods. It knows no
// kind and no Kubernetes API: controllers/pattern asks it and carries it out.
package scaling
