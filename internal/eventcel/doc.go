// Package eventcel is the CEL that users write: which events a sink wants, and what becomes of them on the way; which class a
// request to a ShardSet has. The operator compiles it to refuse what can not be before anything is made, and the plane to
// evaluate it, so that both mean the same.
//
// Controllers and planes import it, and it imports nothing of the tree.
package eventcel
