package app

import "runtime"

// heapFloor is what a plane's heap counts from. The collector runs whenever the
// heap has doubled: a plane that holds a few megabytes and is asked 20,000 times
// a second would be collected dozens of times a second.
const heapFloor = 16 << 20

// HoldHeapFloor has the collector take the heap for larger than it is. The memory
// is never touched, so the kernel never provides it; what it costs is that up to as
// much garbage more is kept. It returns what ends it.
func HoldHeapFloor() func() {
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
