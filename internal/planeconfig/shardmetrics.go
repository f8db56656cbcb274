package planeconfig

// Metrics by which the routers of a ShardSet tell the operator how requests are spread. Each router tells of those that it saw.
const (
	// MetricHotPartitions is how many partitions take more than their share, 0 where none does.
	MetricHotPartitions = "trellis_shards_hot_partitions"
	// MetricPartitionShare is the share, from 0 to 1, of each of these, by LabelPartition.
	MetricPartitionShare = "trellis_shards_partition_share"

	LabelPartition = "partition"
)
