// Package enginetest starts real engines as processes of this machine, for tests of what uses them. It is
// imported by tests alone, and imports nothing of the tree.
package enginetest
