// Package laws holds the pipeline to its laws, over every example that users are
// given and every kind that is registered: it is silent at rest, can die after
// any write, and ends in the same state whatever call fails and however late it
// learns of changes. Each law is a function that returns what it found, and is
// itself tested on a pipeline with a planted fault.
package laws
