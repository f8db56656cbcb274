// Package resharding measures what a partition's move costs those who use it: how long nobody serves it, against how long
// its data takes between the same two containers.
package resharding
