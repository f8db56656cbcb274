// Package planlaws holds the plans of every kind to the laws of
// design/architecture.md that can be seen in a plan alone: it is pure, its pods
// are restricted, bounded and probed, its secrets are in Secrets. A kind joins by
// calling Hold in a test, with files of its own under testdata:
//
//	cases/*.yaml   objects to plan, besides examples/valid; PatternClasses in the same file
//	golden/*.yaml  what their plans are; written by go test -update
package planlaws
