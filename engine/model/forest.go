package model

import "slices"

// MinShared is the least number of tokens worth a segment of their own: sharing
// fewer saves less than what another segment costs in attention.
const MinShared = 16

// Forest lays whole sequences out as the segments of one pass, those that begin
// with the same tokens as branches of one tree: a system message, under it the
// prompts, under each the two completions of a preference pair. Its memory is
// used again after Reset.
type Forest struct {
	Segments []Segment // parents stand before what continues them
	Rows     int       // of all segments

	first []int // first row of each segment
	leaf  []int // of each sequence: the segment that holds its last token
	ids   [][]int32
	width []int // of ids: what each has in common with the one before
}

// Sequence is one whole sequence on its way into a Forest.
type Sequence struct {
	IDs     []int32
	Adapter Adapter
	Example int
}

// Reset empties the forest.
func (f *Forest) Reset() {
	f.Segments, f.Rows, f.first, f.leaf = f.Segments[:0], 0, f.first[:0], f.leaf[:0]
}

// Add lays out sequences of one adapter that stand in the order of
// CompareSequences, sharing what neighbours have in common, and returns the
// number of the first; the others follow. Sequences of several calls share
// nothing. A shared segment has the Example of its first sequence.
func (f *Forest) Add(seqs ...Sequence) (number int) {
	number = len(f.leaf)
	f.ids = f.ids[:0]
	for _, s := range seqs {
		f.ids = append(f.ids, s.IDs)
		f.leaf = append(f.leaf, 0)
	}
	f.measure()
	f.grow(seqs, number, 0, len(seqs), 0, 0)
	return number
}

// RowsOf returns the rows that Add would lay sequences in the order of
// CompareSequences out in.
func (f *Forest) RowsOf(ids ...[]int32) int {
	f.ids = append(f.ids[:0], ids...)
	f.measure()
	return f.grow(nil, 0, 0, len(ids), 0, 0)
}

func (f *Forest) measure() {
	f.width = f.width[:0]
	for i := range f.ids {
		n := 0
		if i > 0 {
			n = CommonPrefix(f.ids[i-1], f.ids[i])
		}
		f.width = append(f.width, n)
	}
}

// grow makes the segments of sequences lo..hi-1 from position from, which the
// segment parent (1 + its index, 0 for none) ends at, and returns their rows.
// Without seqs it only counts.
func (f *Forest) grow(seqs []Sequence, number, lo, hi, from, parent int) (rows int) {
	for a := lo; a < hi; {
		b, end := a+1, len(f.ids[a])
		for ; b < hi && f.width[b] >= from+MinShared; b++ {
			end = min(end, f.width[b])
		}
		rows += end - from
		seg := parent
		if seqs != nil {
			seg = f.segment(&seqs[a], from, end, parent)
		}
		if b == a+1 {
			if seqs != nil {
				f.leaf[number+a] = seg - 1
			}
		} else {
			rows += f.grow(seqs, number, a, b, end, seg)
		}
		a = b
	}
	return rows
}

// segment appends one segment and returns 1 + its index; of no tokens it is the
// parent itself.
func (f *Forest) segment(s *Sequence, from, end, parent int) int {
	if from == end && parent > 0 {
		return parent
	}
	f.Segments = append(f.Segments, Segment{IDs: s.IDs[from:end], Start: from, Parent: parent, Adapter: s.Adapter, Example: s.Example})
	f.first = append(f.first, f.Rows)
	f.Rows += end - from
	return len(f.Segments)
}

// Row returns the row of the pass in which position pos of a sequence stands.
func (f *Forest) Row(number, pos int) int {
	s := f.leaf[number]
	for f.Segments[s].Start > pos {
		s = f.Segments[s].Parent - 1
	}
	return f.first[s] + pos - f.Segments[s].Start
}

// CompareSequences orders sequences by their tokens, so that those with the most
// in common are neighbours.
func CompareSequences(a, b []int32) int { return slices.Compare(a, b) }

// CommonPrefix returns the number of tokens that a and b begin with alike.
func CommonPrefix(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
