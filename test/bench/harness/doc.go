// Package harness is what all benchmarks share: runs of two sides that take
// turns, the row that becomes of them, and the table and page that show it. It
// knows nothing of what is measured.
package harness
