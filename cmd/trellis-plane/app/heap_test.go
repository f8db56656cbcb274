package app

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestTheCollectorCountsFromTheFloor(t *testing.T) {
	goal := func() uint64 {
		runtime.GC()
		sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	before := goal()
	end := HoldHeapFloor()
	held := goal()
	end()
	if held < heapFloor || held <= before {
		t.Errorf("the heap may grow to %d bytes, and to %d before; want more than the floor of %d", held, before, heapFloor)
	}
}
