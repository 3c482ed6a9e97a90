package infer_test

import (
	"context"
	"fmt"

	"dlm/engine/infer"
	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// digits stands in for a tokenizer.
type digits struct{}

func (digits) Piece(id int32) []byte { return []byte{'0' + byte(id%10)} }

// Example generates two completions in one batch and scores one of them.
func Example() {
	ck, err := weights.Open("../testdata/tiny/llama-tied")
	if err != nil {
		panic(err)
	}
	defer ck.Close()
	x, err := kernel.New(0)
	if err != nil {
		panic(err)
	}
	defer x.Close()
	m, err := model.Load(ck, x, kernel.BF16)
	if err != nil {
		panic(err)
	}
	e, err := infer.New(m, digits{}, infer.Options{})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	out, err := e.Generate(ctx, []infer.Request{
		{IDs: []int32{10, 20, 30}, MaxTokens: 4},
		{IDs: []int32{40, 50}, MaxTokens: 2},
	}, nil)
	if err != nil {
		panic(err)
	}
	first := out[0].Tokens[0]
	scores, err := e.Score(ctx, []infer.ScoreRequest{{IDs: []int32{10, 20, 30, first.ID}, From: 3}})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(out[0].Text), len(out[1].Text), out[0].Finish, scores[0][0] == first.LogProb)
	// Output: 4 2 length true
}
