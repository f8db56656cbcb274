package machine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	plane "github.com/trellis-dev/trellis/internal/plane/jobs"
)

// full is a queue of n jobs that wait, with payloads of 100 bytes.
func full(n int) *State {
	s := New()
	s.Apply(&Configure{Settings: Settings{LeaseTTL: time.Minute, Weights: map[string]int{"high": 4, "low": 1}, Burst: 1}})
	for i := range n {
		s.Apply(&Submit{Now: epoch, Batch: []NewJob{waiting(i)}})
	}
	return s
}

func waiting(i int) NewJob {
	return NewJob{
		NewJob:  plane.NewJob{ID: fmt.Sprintf("01930000-0000-7000-8000-%012d", i), Type: "report", Priority: []string{"high", "low"}[i%2], Timeout: time.Minute, MaxAttempts: 3},
		Content: Content{Type: mediaJSON, Data: make([]byte, 100), Size: 100},
	}
}

const hundredThousand = 100_000

// BenchmarkMemory tells what a job costs.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := full(hundredThousand)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/hundredThousand, "bytes/job")
		runtime.KeepAlive(s)
	}
}

// BenchmarkLife is a job's whole life while a hundred thousand others wait.
func BenchmarkLife(b *testing.B) {
	s := full(hundredThousand)
	for i := 0; b.Loop(); i++ {
		s.Apply(&Submit{Now: epoch, Batch: []NewJob{waiting(hundredThousand + i)}})
		result, _ := s.Apply(&Lease{Now: epoch, Worker: "w", Max: 1})
		l := result.([]Leased)[0]
		s.Apply(&Complete{Now: epoch, Claim: plane.Claim{ID: l.Job.ID, Token: l.Token}})
		s.Apply(&Delete{ID: l.Job.ID})
	}
}

// BenchmarkFreeze is of a hundred thousand jobs that wait: for as long a replica changes nothing while it takes a snapshot.
func BenchmarkFreeze(b *testing.B) {
	s := full(hundredThousand)
	for b.Loop() {
		runtime.KeepAlive(s.Freeze())
	}
}

// BenchmarkSnapshot is of as many, all in all.
func BenchmarkSnapshot(b *testing.B) {
	s := full(hundredThousand)
	for b.Loop() {
		b.ReportMetric(float64(len(s.Snapshot()))/hundredThousand, "bytes/job")
	}
}
