package main

import (
	"fmt"
	"os"

	"dlm/driver/native"
)

type benchBaseCmd struct {
	Shape  string `required:"" help:"Shape of a published base, such as qwen2.5-0.5b." placeholder:"NAME"`
	Format string `default:"q4_1" help:"How its matrices are stored: bf16, q4_0, q4_1, q4_k, q5_k, q6_k or q8_0."`
	Seed   uint64 `default:"1" help:"Seed of the weights."`
	Out    string `short:"o" required:"" type:"path" help:"GGUF file to write." placeholder:"FILE"`
}

// benchBaseResult is the command's JSON.
type benchBaseResult struct {
	Path       string `json:"path"`
	Shape      string `json:"shape"`
	Format     string `json:"format"`
	Parameters int64  `json:"parameters"`
	Bytes      int64  `json:"bytes"`
}

func (c *benchBaseCmd) Run(a *app) error {
	n, err := native.WriteBenchBase(c.Out, c.Shape, c.Format, c.Seed)
	if err != nil {
		return err
	}
	st, err := os.Stat(c.Out)
	if err != nil {
		return fmt.Errorf("the file is gone again: %w", err)
	}
	r := benchBaseResult{Path: c.Out, Shape: c.Shape, Format: c.Format, Parameters: n, Bytes: st.Size()}
	a.finish(r, func() {
		a.printf("%s\n  %d parameters of random weights in the shape of %s, %s, %s\nnext: dlm bench train --model %s\n",
			r.Path, r.Parameters, r.Shape, r.Format, byteSize(r.Bytes), r.Path)
	})
	return nil
}
