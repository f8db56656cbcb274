// Package eventcel is the CEL of a sink: which events it wants, and what becomes of them on the way. The operator
// compiles it to refuse what can not be before anything is made, and the plane to evaluate it, so that both mean the same.
//
// Controllers and planes import it, and it imports nothing of the tree.
package eventcel
