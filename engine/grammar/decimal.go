package grammar

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// decimal is a number with finitely many digits: sign, digits before the point,
// digits behind it, without zeros that mean nothing. Zero is "", "".
type decimal struct {
	neg         bool
	whole, part string
}

// maxDigits bounds the digits of a bound of numbers.
const maxDigits = 60

func parseDecimal(s string) (decimal, error) {
	var d decimal
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil || exp > maxDigits || exp < -maxDigits {
			return d, fmt.Errorf("%s has more than %d digits", s, maxDigits)
		}
	}
	mantissa, d.neg = strings.CutPrefix(mantissa, "-")
	whole, part, _ := strings.Cut(mantissa, ".")
	if len(whole)+len(part) > maxDigits {
		return d, fmt.Errorf("%s has more than %d digits", s, maxDigits)
	}
	point := len(whole) + exp
	digits := whole + part
	if point < 0 {
		digits, point = strings.Repeat("0", -point)+digits, 0
	} else if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	d.whole, d.part = strings.TrimLeft(digits[:point], "0"), strings.TrimRight(digits[point:], "0")
	if d.zero() {
		d.neg = false
	}
	return d, nil
}

func (d decimal) zero() bool { return d.whole == "" && d.part == "" }

func (d decimal) String() string {
	s := d.whole
	if s == "" {
		s = "0"
	}
	if d.part != "" {
		s += "." + d.part
	}
	if d.neg {
		s = "-" + s
	}
	return s
}

func (d decimal) abs() decimal { d.neg = false; return d }

// cmp compares as numbers.
func (d decimal) cmp(e decimal) int {
	if d.neg != e.neg {
		if d.neg {
			return -1
		}
		return 1
	}
	c := len(d.whole) - len(e.whole)
	if c == 0 {
		c = strings.Compare(d.whole, e.whole)
	}
	if c == 0 {
		c = strings.Compare(d.part, e.part)
	}
	if d.neg {
		c = -c
	}
	return c
}

// floor returns the largest integer that is not above d.
func (d decimal) floor() *big.Int {
	n := new(big.Int)
	if d.whole != "" {
		n.SetString(d.whole, 10)
	}
	if d.neg {
		n.Neg(n)
		if d.part != "" {
			n.Sub(n, big.NewInt(1))
		}
	}
	return n
}

func decimalOf(n *big.Int) decimal {
	d := decimal{neg: n.Sign() < 0, whole: new(big.Int).Abs(n).String()}
	if n.Sign() == 0 {
		d.whole = ""
	}
	return d
}

// limit is a bound of numbers.
type limit struct {
	at   decimal
	open bool // the bound itself is outside
}

// window is the numbers between two bounds; nil = no bound.
type window struct{ lo, hi *limit }

// meet returns the numbers that are in both windows.
func (w window) meet(x window) window {
	if x.lo != nil && (w.lo == nil || beyond(x.lo, w.lo, 1)) {
		w.lo = x.lo
	}
	if x.hi != nil && (w.hi == nil || beyond(x.hi, w.hi, -1)) {
		w.hi = x.hi
	}
	return w
}

// beyond says whether a is the stricter of two bounds on one side (1: lower ones).
func beyond(a, b *limit, side int) bool {
	c := a.at.cmp(b.at) * side
	return c > 0 || c == 0 && a.open
}

// empty says whether no number, or no integer, is in the window.
func (w window) empty(integers bool) bool {
	if integers {
		w = w.integers()
	}
	if w.lo == nil || w.hi == nil {
		return false
	}
	c := w.lo.at.cmp(w.hi.at)
	return c > 0 || c == 0 && (w.lo.open || w.hi.open)
}

// integers returns the window with its bounds moved inward to integers that are
// inside.
func (w window) integers() window {
	one := big.NewInt(1)
	if w.lo != nil {
		n := w.lo.at.floor()
		if w.lo.open || decimalOf(n).cmp(w.lo.at) != 0 {
			n.Add(n, one)
		}
		w.lo = &limit{at: decimalOf(n)}
	}
	if w.hi != nil {
		n := w.hi.at.floor()
		if w.hi.open && decimalOf(n).cmp(w.hi.at) == 0 {
			n.Sub(n, one)
		}
		w.hi = &limit{at: decimalOf(n)}
	}
	return w
}
