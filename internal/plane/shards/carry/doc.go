// Package carry takes a request to a server behind a proxy and brings its answer back, over connections that are kept. It
// is done in the goroutine of the request, as a hand-over to others and back costs more than all the rest. Routers reach
// shards by it, and members their containers.
//
// It may import internal/plane/httphead.
package carry
