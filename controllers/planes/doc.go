// Package planes builds what every kind with a plane has: its Deployment, its Secrets, its Service and what
// exposes it, and the part of the plane's configuration that is the same for all. Like all of a plan it is pure.
// It may import api, controllers/pattern, controllers/specs and internal/planeconfig.
package planes
