package kernel

import "fmt"

// Attention is the attention of some queries over blocks of keys and values:
// Out = softmax(Scale q kᵀ) v. The queries are rows of one head, each of which sees
// one key more than the one before, or one row's heads that share a key-value head
// and see the same keys. It walks the blocks in order, keeping a running maximum M
// and sum L of each query (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al.
// 2022, arXiv 2205.14135, algorithm 1):
//
//	M' = max(M, max s);  w = exp(s - M');  f = exp(M - M')
//	L' = L f + Σ w;      o' = o f + bf16(w) v
//
// and Out = o / L, rounded to its mode.
type Attention struct {
	Q            Operand // [n, D]
	Keys, Values []Block // of 64 positions each: keys by channel, values by position
	Seen         int     // keys that the first query sees, at least one of the last block
	More         int     // keys that each further query sees more: 0 or 1
	Scale        float32
	Out          Operand // [n, D]

	// The worker's memory.
	Scores  []float32 // [n, 64]
	Weights Operand   // [n, 64], of Q's mode
	Acc     []float32 // [n, D]
	M, L    []float32 // [n]; results too
	Sum, F  []float32 // [n]
}

// last is the number of keys that the last query sees.
func (t *Attention) last() int { return t.Seen + (t.Q.Rows-1)*t.More }

func (t *Attention) check() {
	n, d := t.Q.Rows, t.Q.Cols
	if t.Seen < 1 || t.More < 0 || t.More > 1 || n < 1 || d < 1 || d%laneCols != 0 {
		panic(fmt.Sprintf("kernel: Attend: %d queries of %d values, the first sees %d keys, each further %d more", n, d, t.Seen, t.More))
	}
	blocks := (t.last() + blockCols - 1) / blockCols
	if t.Seen <= (blocks-1)*blockCols {
		panic(fmt.Sprintf("kernel: Attend: the first of %d queries sees %d keys, none of the last block", n, t.Seen))
	}
	if len(t.Keys) < blocks || len(t.Values) < blocks {
		panic(fmt.Sprintf("kernel: Attend: %d and %d blocks of keys and values, %d keys are seen", len(t.Keys), len(t.Values), t.last()))
	}
	if t.Out.Rows < n || t.Out.Cols != d || t.Weights.Rows < n || t.Weights.Cols != blockCols || t.Weights.Mode != t.Q.Mode || t.Out.Mode != t.Q.Mode {
		panic(fmt.Sprintf("kernel: Attend: result %d x %d and weights %d x %d for %d queries of %d", t.Out.Rows, t.Out.Cols, t.Weights.Rows, t.Weights.Cols, n, d))
	}
	checkLen("Attend: scores", len(t.Scores), n*blockCols)
	checkLen("Attend: result", len(t.Acc), n*d)
	checkLen("Attend: softmax", min(len(t.M), len(t.L), len(t.Sum), len(t.F)), n)
}

// Attend computes t. It is serial, and keeps nothing of t.
func (x *Exec) Attend(t *Attention) {
	t.check()
	if f := x.set.blocks.attend; f != nil && t.Q.Mode == BF16 {
		f(t)
		return
	}
	n, d := t.Q.Rows, t.Q.Cols
	for b := 0; b*blockCols < t.last(); b++ {
		x.MulBlock(t.Scores, blockCols, t.Q, t.seenKeys(b), false)
		m := t.M[:n]
		if b == 0 {
			fill(m, negInf)
		}
		before := t.F[:n]
		copy(before, m)
		x.SoftmaxBlock(t.Weights.Slice(0, n), t.Scores, n, t.Seen-b*blockCols, t.More, t.Scale, m, t.Sum)
		if b == 0 {
			copy(t.L[:n], t.Sum)
		} else {
			for i := range before {
				before[i] -= m[i]
			}
			x.Exp(before, before) // of 0 it is exactly 1
			for i, f := range before {
				t.L[i] = float32(t.L[i]*f) + t.Sum[i]
			}
			x.ScaleRows(t.Acc[:n*d], d, before)
		}
		values := t.seenValues(b)
		w := t.Weights.Slice(0, n)
		w.Cols = values.K
		x.MulBlock(t.Acc, d, w, values, b > 0)
	}
	for i := range n {
		t.F[i] = 1 / t.L[i]
	}
	x.ScaleRows(t.Acc[:n*d], d, t.F[:n])
	x.RoundRows(t.Out.Slice(0, n), t.Acc, d)
}

// seenKeys cuts block b of the keys to whole vectors of the positions that some
// query sees: what a multiply leaves of the scores is never looked at.
func (t *Attention) seenKeys(b int) Block {
	k := t.Keys[b]
	k.Want = min(k.N, (t.last()-b*blockCols+laneCols-1)&^(laneCols-1))
	return k
}

// seenValues cuts block b of the values to the positions that some query sees, in
// pairs: the weights of the others are zero.
func (t *Attention) seenValues(b int) Block {
	v := t.Values[b]
	v.K = min(v.K, (t.last()-b*blockCols+1)&^1)
	return v
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}
