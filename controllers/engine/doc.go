// Package engine is the kind Engine: an existing system that holds state, run
// by Trellis in a namespace or elsewhere by others. One file a driver; the
// registration list is in driver.go.
package engine
