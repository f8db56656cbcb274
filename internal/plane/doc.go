// Package plane is the chassis that every pattern's data plane shares: the HTTP
// servers, authentication, problem documents, bounds on work, health, metrics,
// tracing, and the orderly end of a process. A pattern adds its contract on top
// by a Service of its own package below this one.
//
// It may import pkg, internal/planeconfig and api, and never a controller.
package plane
