// Package pattern is the one pipeline that carries every kind:
//
//	fetch → finalize? → resolve class, engines, references → PLAN → apply → prune → observe → status
//
// A kind gives a Definition: pure functions that say what it needs, what it
// plans and how it is. The pipeline does all that touches the API server.
// It may import api and controllers/specs; never a plane.
package pattern
