package pattern

import "testing"

func TestRounded(t *testing.T) {
	for n, want := range map[float64]int64{0: 0, 7: 7, 99: 99, 100: 100, 104: 100, 105: 110, 999: 1000, 12_345: 12_000, 499_999: 500_000} {
		if got := Rounded(n); got != want {
			t.Errorf("%v is rounded to %d, want %d", n, got, want)
		}
	}
}

func TestIsFarFrom(t *testing.T) {
	for pair, want := range map[[2]int64]bool{
		{0, 0}: false, {0, 1}: true, {1, 0}: true, {100, 100}: false, {100, 75}: false, {100, 74}: true, {74, 100}: true,
	} {
		if got := IsFarFrom(pair[0], pair[1]); got != want {
			t.Errorf("%d is far from %d: %v, want %v", pair[0], pair[1], got, want)
		}
	}
}
