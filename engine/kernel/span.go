package kernel

import "unsafe"

// Span is a stretch of memory, which nothing but prefetching reads.
type Span struct{ at, end uintptr }

// Span is the memory that a multiply by b reads: all its rows of k.
func (b *Block) Span() Span {
	if b.Mode == F32 {
		return spanOf(b.F[:b.K*b.N])
	}
	return spanOf(b.B[:(b.K+b.K&1)*b.N])
}

// spanOf is s's memory.
func spanOf[T any](s []T) Span {
	at := uintptr(ptr(s))
	var t T
	return Span{at, at + uintptr(len(s))*unsafe.Sizeof(t)}
}

// cut takes the first n bytes off.
func (s *Span) cut(n int) Span {
	c := Span{s.at, min(s.at+uintptr(n), s.end)}
	s.at = c.end
	return c
}
