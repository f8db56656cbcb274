// Package process runs the parts of a benchmark as processes of their own, as
// memory and CPU time can be told of a process only. They are asked over their
// standard input, end when it does, and so leave nothing behind.
package process
