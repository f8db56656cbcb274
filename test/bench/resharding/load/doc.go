// Package load is what stands on both sides of a ShardSet that grows and shrinks: containers that count and whose
// partitions are of a size, and clients that know what each counter has to be.
package load
