// Package kubectl is the kubectl plugin `kubectl trellis`. It may import
// controllers, whose pure plans it prints, and no plane.
package kubectl
