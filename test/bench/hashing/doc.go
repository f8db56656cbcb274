// Package hashing measures pkg/ring beside other ways to find the owner of a key: what a new member moves, how even the
// load is, and what a look-up takes. What it measures is in one process, and pure.
package hashing
