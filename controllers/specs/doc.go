// Package specs builds the Kubernetes objects that plans are made of: one file
// an object, pure functions, no client. It may import api and internal/planeconfig.
package specs
