package grammar

import (
	"math"
	"math/big"
	"strings"
)

// How many digits a number without bounds may have.
const (
	wholeDigits = 19
	partDigits  = 17
)

// number takes a JSON number in the window.
func (b *builder) number(w window) part {
	if w.lo == nil && w.hi == nil {
		return b.raw(mustExpression(`-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?`))
	}
	return b.between(w, true)
}

// integer takes a JSON integer in the window: one of 64 bits where a bound is
// missing and the other does not say more.
func (b *builder) integer(w window) part {
	w = w.integers()
	least, most := decimalOf(big.NewInt(math.MinInt64)), decimalOf(big.NewInt(math.MaxInt64))
	if w.lo == nil && (w.hi == nil || w.hi.at.cmp(least) >= 0) {
		w.lo = &limit{at: least}
	}
	if w.hi == nil && (w.lo == nil || w.lo.at.cmp(most) <= 0) {
		w.hi = &limit{at: most}
	}
	return b.between(w, false)
}

// between takes the numbers of a window: those below zero by their size, and
// zero and those above.
func (b *builder) between(w window, fraction bool) part {
	zero := decimal{}
	var parts []part
	if w.lo == nil || w.lo.at.neg {
		size := window{lo: &limit{at: zero, open: true}}
		if w.lo != nil {
			size.hi = &limit{w.lo.at.abs(), w.lo.open}
		}
		if w.hi != nil && w.hi.at.neg {
			size.lo = &limit{w.hi.at.abs(), w.hi.open}
		}
		parts = append(parts, b.seq(b.lit("-"), b.size(size, fraction)))
	}
	if w.hi == nil || !w.hi.at.neg {
		size := window{lo: &limit{at: zero}, hi: w.hi}
		if w.lo != nil && !w.lo.at.neg {
			size.lo = w.lo
		}
		parts = append(parts, b.size(size, fraction))
	}
	return b.alt(parts...)
}

// size takes the numbers of a window without sign; w.lo is not nil. One way is
// written for each number of digits before the point.
func (b *builder) size(w window, fraction bool) part {
	return func(next int32) int32 {
		var outs []int32
		most := max(wholeDigits, len(w.lo.at.whole)+1)
		if w.hi != nil {
			most = max(1, len(w.hi.at.whole))
		}
		for k := max(1, len(w.lo.at.whole)); k <= most; k++ {
			d := digits{b: b, next: next, k: k, made: map[digitPlace]int32{}, lo: w.lo}
			d.loDigits = strings.Repeat("0", k-len(w.lo.at.whole)) + w.lo.at.whole + w.lo.at.part
			if fraction {
				d.behind = max(partDigits, len(w.lo.at.part)+1)
				if w.hi != nil {
					d.behind = max(d.behind, len(w.hi.at.part)+1)
				}
			}
			place := digitPlace{low: k == max(1, len(w.lo.at.whole))}
			if w.hi != nil {
				d.hi = w.hi
				if place.high = k == max(1, len(w.hi.at.whole)); place.high {
					d.hiDigits = strings.Repeat("0", k-len(w.hi.at.whole)) + w.hi.at.whole + w.hi.at.part
				}
			}
			if at := d.from(place); at >= 0 {
				outs = append(outs, at)
			}
		}
		if len(outs) == 0 {
			return b.fail()
		}
		return b.split(outs...)
	}
}

// digits writes the numbers of k digits before the point and at most behind
// after it that lie between two bounds, digit by digit. What has been equal to a
// bound so far must stay inside it.
type digits struct {
	b                  *builder
	next               int32
	k, behind          int
	lo, hi             *limit
	loDigits, hiDigits string // k before the point, then those behind it
	made               map[digitPlace]int32
}

// digitPlace is where a number stands: digits taken, and whether they are those
// of a bound.
type digitPlace struct {
	n         int
	low, high bool
}

func digitAt(s string, n int) byte {
	if n < len(s) {
		return s[n]
	}
	return '0'
}

func restIsZero(s string, n int) bool { return n >= len(s) || strings.Trim(s[n:], "0") == "" }

// ends says whether the number may end at p.
func (d *digits) ends(p digitPlace) bool {
	if p.n < d.k {
		return false
	}
	if p.low && (!restIsZero(d.loDigits, p.n) || d.lo.open) {
		return false
	}
	return !p.high || !restIsZero(d.hiDigits, p.n) || !d.hi.open
}

// from returns where the digits from p on begin, -1 when there are none.
func (d *digits) from(p digitPlace) int32 {
	if at, ok := d.made[p]; ok {
		return at
	}
	var outs []int32
	if d.ends(p) {
		outs = append(outs, d.next)
	}
	if p.n < d.k {
		outs = append(outs, d.digit(p)...)
	} else if p.n < d.k+d.behind {
		more := d.digit(p)
		if p.n > d.k {
			outs = append(outs, more...)
		} else if len(more) > 0 {
			outs = append(outs, d.b.bytes('.', '.', d.b.split(more...)))
		}
	}
	at := int32(-1)
	if len(outs) > 0 {
		at = d.b.split(outs...)
	}
	d.made[p] = at
	return at
}

// digit writes the ways to take one more digit.
func (d *digits) digit(p digitPlace) (outs []int32) {
	least, most := byte('0'), byte('9')
	if p.n == 0 && d.k > 1 {
		least = '1'
	}
	add := func(from, to byte, low, high bool) {
		if from > to || from > '9' {
			return
		}
		if at := d.from(digitPlace{p.n + 1, low, high}); at >= 0 {
			outs = append(outs, d.b.bytes(from, to, at))
		}
	}
	lo, hi := digitAt(d.loDigits, p.n), digitAt(d.hiDigits, p.n)
	if p.low && p.high && lo >= hi {
		if lo == hi && lo >= least {
			add(lo, lo, true, true)
		}
		return outs
	}
	if p.low {
		if lo >= least {
			add(lo, lo, true, false)
		}
		least = max(least, lo+1)
	}
	if p.high {
		if hi >= least {
			add(hi, hi, false, true)
		}
		most = hi - 1
	}
	add(least, most, false, false)
	return outs
}

// mustExpression reads an expression that is known to be one.
func mustExpression(s string) *expression {
	e, err := parseWhole(s)
	if err != nil {
		panic(err)
	}
	return e
}
