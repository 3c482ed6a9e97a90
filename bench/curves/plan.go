package main

import (
	"slices"
	"strconv"
)

// curve is one series of measurements: what grows, and how dlm bench is asked.
type curve struct {
	name, axis string
	xs         []at
	args       func(x int) []string
}

// at is a place on a curve; few marks those that are measured on one thread too.
type at struct {
	x   int
	few bool
}

// The curves' names.
const (
	prefillLength = "prefill over length"
	decodeDepth   = "decode over depth"
	trainLength   = "training over length"
	decodeBatch   = "decode over batch"
	trainBatch    = "training over batch"
	decodeMix     = "decode over adapters"
)

// curves lists what is measured, with sequences of up to long tokens. Points
// that take many seconds are measured by one step or call without a warm-up.
func curves(long int) []curve {
	n := strconv.Itoa
	upTo := func(few ...int) (xs []at) {
		for x := 128; x <= long; x *= 2 {
			xs = append(xs, at{x, slices.Contains(few, x)})
		}
		return xs
	}
	counts := func(few []int, xs ...int) (out []at) {
		for _, x := range xs {
			out = append(out, at{x, slices.Contains(few, x)})
		}
		return out
	}
	steps := func(tokens int) string {
		if tokens >= 4096 {
			return "1"
		}
		return "3"
	}
	calls := func(tokens int) string {
		if tokens >= 2048 {
			return "1"
		}
		return "3"
	}
	return []curve{
		{prefillLength, "tokens of a prompt", upTo(128, 512, 2048), func(x int) []string {
			return []string{"prefill", "--prompt", n(x - 1), "--reps", calls(x)} // the token that follows takes a position as well
		}},
		{decodeDepth, "tokens before it, one sequence", upTo(128, 512, 2048), func(x int) []string {
			return []string{"decode", "--prompt", n(x - 48), "--tokens", "48", "--reps", calls(x)}
		}},
		{trainLength, "tokens of a row, one row a step", upTo(128, 512, 2048), func(x int) []string {
			args := []string{"train", "--batch", "1", "--seq", n(x), "--steps", steps(x)}
			if x >= 4096 {
				args = append(args, "--checkpointing") // as the planner chooses when memory is short
			}
			return args
		}},
		{decodeBatch, "sequences at once", counts([]int{1, 8, 64}, 1, 2, 4, 8, 16, 32, 64), func(x int) []string {
			return []string{"decode", "--batch", n(x), "--tokens", "48", "--reps", "3"}
		}},
		{trainBatch, "rows of 128 tokens a step", counts([]int{1, 8}, 1, 2, 4, 8, 16, 32, 64), func(x int) []string {
			return []string{"train", "--batch", n(x), "--seq", "128", "--steps", steps(x * 128)}
		}},
		{decodeMix, "adapters among 64 sequences", counts(nil, 0, 1, 2, 4, 8, 16, 32, 64), func(x int) []string {
			return []string{"decode", "--batch", "64", "--adapters", n(x), "--tokens", "24", "--reps", "1"}
		}},
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }
