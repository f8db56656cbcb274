package load

import (
	"strconv"
	"testing"
	"time"
)

func TestClientsAskShards(t *testing.T) {
	t.Parallel()
	s := &shards{}
	defer s.close()
	addresses, err := s.Listen(t.Context(), ListenParams{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, pace := range []int{0, 500} {
		t.Run(strconv.Itoa(pace), func(t *testing.T) {
			got, err := Ask(t.Context(), AskParams{Address: addresses.([]string)[1], Token: "t", Clients: 4, Keys: 10, For: 200 * time.Millisecond, PerSecond: pace})
			if err != nil {
				t.Fatal(err)
			}
			a := got.(Asked)
			if a.Failed > 0 || a.Strayed > 0 || a.Answers < 4 || a.P99 < a.P50 || a.P50 <= 0 {
				t.Errorf("asked %+v", a)
			}
			if pace > 0 && a.Answers > 105 {
				t.Errorf("%d answers at a pace of 100 in that time", a.Answers)
			}
		})
	}
}

func TestAKeyThatStraysIsSeen(t *testing.T) {
	t.Parallel()
	a := &client{shard: []string{"0", "1", ""}, strayed: map[int]bool{}}
	b := &client{shard: []string{"0", "0", "1"}, strayed: map[int]bool{}}
	if got := sum([]*client{a, b}, time.Second).Strayed; got != 1 {
		t.Errorf("%d keys strayed, want 1", got)
	}
}
