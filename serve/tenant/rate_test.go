package tenant

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{
		"": {}, "60/m": {60, time.Minute}, "100k/h": {100_000, time.Hour}, "2M/d": {2_000_000, 24 * time.Hour}, "30/10s": {30, 10 * time.Second}, " 1/s ": {1, time.Second},
	} {
		got, err := ParseRate(in)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v; expected %v", in, got, err, want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written %q, which reads %v, %v", in, got.String(), again, err)
		}
	}
	for _, in := range []string{"60", "/m", "60/", "0/m", "-1/m", "x/m", "60/x", "60/1ms", "1e3/m", "9999999999999999999/m", "60/m/m"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %v, expected an error", in, got)
		}
	}
}

// TestBucketHoldsTheRate: whatever the arrivals, no stretch of time sees more
// than a full bucket and what flowed in during it; and who waits as long as was
// said gets in.
func TestBucketHoldsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{rapid.IntRange(1, 50).Draw(t, "n"), time.Duration(rapid.IntRange(1, 100).Draw(t, "per")) * time.Second}
		now, b := time.Unix(1_000_000, 0), bucket{}
		var taken []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(r.Per)/2).Draw(t, "gap")))
			wait := b.take(now, r)
			if wait == 0 {
				taken = append(taken, now)
				continue
			}
			if wait > r.Per {
				t.Fatalf("told to wait %s at a rate of %s", wait, r)
			}
			// Rounding in the bucket is far below a microsecond.
			if probe := b; probe.take(now.Add(wait+time.Microsecond), r) != 0 {
				t.Fatalf("refused after the wait of %s that was asked for", wait)
			}
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := float64(r.N) + float64(taken[j].Sub(taken[i]))/float64(r.Per)*float64(r.N) + 1e-6
				if n := j - i + 1; float64(n) > most {
					t.Fatalf("%d requests within %s at %s", n, taken[j].Sub(taken[i]), r)
				}
			}
		}
	})
}

func TestWindow(t *testing.T) {
	r, now, w := Rate{100, time.Hour}, time.Unix(1000, 0), window{}
	if wait := w.reserve(now, r, 60); wait != 0 {
		t.Fatal("the first 60 of 100 were refused")
	}
	if wait := w.reserve(now.Add(20*time.Minute), r, 60); wait != 40*time.Minute {
		t.Fatalf("60 more of 100: wait %s, expected until the window ends in 40m", wait)
	}
	w.settle(now, 60, 10)
	if wait := w.reserve(now.Add(20*time.Minute), r, 90); wait != 0 {
		t.Fatal("10 were spent, and 90 more refused")
	}
	first := w.from
	if wait := w.reserve(now.Add(time.Hour), r, 100); wait != 0 {
		t.Fatal("a new window, and 100 refused")
	}
	w.settle(first, 90, 5) // of a window that is over
	if w.used != 100 {
		t.Fatalf("an old window's bill changed the new one: %d used", w.used)
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"bank", "bank", true}, {"bank", "banks", false}, {"*", "", true}, {"*", "hf:a/b", true}, {"bank-*", "bank-support", true}, {"bank-*", "bank", false},
		{"*-sql", "text-sql", true}, {"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false}, {"aa*aa", "aaa", false}, {"a*a", "aa", true}, {"", "", true}, {"", "x", false},
	} {
		if got := glob(c.pattern, c.name); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}
