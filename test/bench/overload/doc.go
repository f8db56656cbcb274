// Package overload measures what a ShardSet's router makes of more requests than its shards can answer.
package overload
