package ring

// Affinity is for the vectors.
func Affinity(id string, partition int) uint64 { return affinity(Hash(id), partition) }
