// Package enginetest starts real engines as processes of this machine, for tests and benchmarks of what uses
// them. It is imported by those alone, and imports nothing of the tree.
package enginetest
