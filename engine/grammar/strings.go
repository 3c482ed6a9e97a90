package grammar

import "unicode/utf8"

// raw takes a text that e matches, as it is.
func (b *builder) raw(e *expression) part { return b.expr(e, b.chars) }

// quoted takes a JSON string whose value e matches. Each character is written in
// one way: as itself where JSON allows that, else with its shortest escape.
func (b *builder) quoted(e *expression) part {
	return b.seq(b.lit(`"`), b.expr(e, b.stringChar), b.lit(`"`))
}

// stringChar takes one character of c as JSON writes it in a string.
func (b *builder) stringChar(c class) part {
	return func(next int32) int32 {
		plain := meet(c, plainChars)
		var outs []int32
		if len(plain) > 0 {
			outs = append(outs, b.chars(plain)(next))
		}
		for i := 0; i < len(c); i += 2 {
			for r := c[i]; r <= c[i+1] && r < 0x80; r++ {
				if mustEscape(byte(r)) {
					outs = append(outs, b.lit(escapes(byte(r)))(next))
				}
			}
		}
		if len(outs) == 0 {
			return b.fail()
		}
		return b.split(outs...)
	}
}

// plainChars stand for themselves in a JSON string.
var plainChars = class{0x20, 0x21, 0x23, 0x5B, 0x5D, surrogateMin - 1, surrogateMax + 1, utf8.MaxRune}

// text takes any JSON string of lo to hi characters, with every escape that JSON
// has. Surrogates come in pairs; a pair is one character.
func (b *builder) text(lo, hi int32) part {
	return b.seq(b.lit(`"`), b.loop(lo, hi, b.anyStringChar), b.lit(`"`))
}

func (b *builder) anyStringChar(next int32) int32 {
	hex := func(next int32) int32 {
		return b.split(b.bytes('0', '9', next), b.bytes('A', 'F', next), b.bytes('a', 'f', next))
	}
	one := func(chars string, next int32) int32 {
		outs := make([]int32, len(chars))
		for i := range len(chars) {
			outs[i] = b.bytes(chars[i], chars[i], next)
		}
		return b.split(outs...)
	}
	low := b.lit(`\u`)(one("dD", one("cdefCDEF", hex(hex(next)))))
	last3 := hex(hex(hex(next)))
	hex4 := b.split(
		b.split(b.bytes('0', '9', last3), one("abcefABCEF", last3)), // not surrogates
		one("dD", b.split(
			b.bytes('0', '7', hex(hex(next))),
			one("89abAB", hex(hex(low))))), // the first half of a pair
	)
	escape := b.split(one(`"\/bfnrt`, next), b.bytes('u', 'u', hex4))
	return b.split(b.chars(plainChars)(next), b.bytes('\\', '\\', escape))
}

// space takes a space, or a newline and at most maxIndent spaces, or nothing.
func (b *builder) space(next int32) int32 {
	indent := next
	for range maxIndent {
		indent = b.split(b.bytes(' ', ' ', indent), next)
	}
	return b.split(next, b.bytes(' ', ' ', next), b.bytes('\n', '\n', indent))
}

// maxIndent is how many spaces may stand at the beginning of a line.
const maxIndent = 20
