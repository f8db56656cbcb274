// Package front serves the plain requests of HTTP/1.1 with a part of the work that net/http's server has with them: it
// makes no goroutine and no context for each of them, and reads their heads by internal/plane/httphead. A connection on
// which anything else comes, such as HTTP/2, an upgrade, a long body or something malformed, is net/http's from then on.
// It is for proxies, whose own work is little.
//
// It may import internal/plane/httphead.
package front
