package planeconfig

// Metrics by which a router tells the operator how the load is spread.
const (
	// MetricShardHotPartition is the share, from 0 to 1, of the router's requests that a partition got in the last minute, by
	// LabelPartition. Those alone have it whose share is above ShardOverload.HotPartition, 10 at most.
	MetricShardHotPartition = "trellis_shards_hot_partition"
	// LabelPartition is the number of a partition.
	LabelPartition = "partition"
)
