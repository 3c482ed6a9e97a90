package tenant

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is so many within a time: 60/m, 100k/h, 2M/d. The zero value is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// units are the times of a rate.
var units = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// ParseRate reads 60/m, 100k/h, 2M/d, or 30/10s; an empty text is no limit.
func ParseRate(s string) (Rate, error) {
	bad := fmt.Errorf("rate %q: expected a number and a time, such as 60/m, 100k/h or 2M/d", s)
	if s = strings.TrimSpace(s); s == "" {
		return Rate{}, nil
	}
	num, per, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, bad
	}
	n, err := ParseCount(num)
	if err != nil || n < 1 {
		return Rate{}, bad
	}
	for _, u := range units {
		if per == u.name {
			return Rate{n, u.per}, nil
		}
	}
	d, err := time.ParseDuration(per)
	if err != nil || d < time.Second || d > 366*24*time.Hour {
		return Rate{}, bad
	}
	return Rate{n, d}, nil
}

// ParseCount reads a number that may end with k or M (thousands, millions).
func ParseCount(s string) (int, error) {
	s = strings.TrimSpace(s)
	times := 1
	switch {
	case strings.HasSuffix(s, "k") || strings.HasSuffix(s, "K"):
		times, s = 1000, s[:len(s)-1]
	case strings.HasSuffix(s, "M"):
		times, s = 1_000_000, s[:len(s)-1]
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1_000_000_000_000/times {
		return 0, fmt.Errorf("%q: expected a number, such as 500, 100k or 2M", s)
	}
	return n * times, nil
}

// String is the rate as ParseRate reads it; "" when there is no limit.
func (r Rate) String() string {
	if r.N == 0 {
		return ""
	}
	num := strconv.Itoa(r.N)
	switch {
	case r.N%1_000_000 == 0:
		num = strconv.Itoa(r.N/1_000_000) + "M"
	case r.N%1000 == 0:
		num = strconv.Itoa(r.N/1000) + "k"
	}
	for _, u := range units {
		if r.Per == u.per {
			return num + "/" + u.name
		}
	}
	return num + "/" + r.Per.String()
}

// MarshalText is String, for the file of keys.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is ParseRate, for the file of keys.
func (r *Rate) UnmarshalText(b []byte) (err error) {
	*r, err = ParseRate(string(b))
	return err
}

// IsZero says that there is no limit.
func (r Rate) IsZero() bool { return r.N == 0 }
