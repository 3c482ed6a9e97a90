package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	got := table([]measured{
		{Shape: "a q4_1", Work: "decode 1", Rate: 12.34, Peak: 1 << 30},
		{Shape: "a q4_1", Work: "LoRA step", Rate: 5, Peak: 3 << 30, Planned: map[string]int64{"weights": 1 << 30, "activations": 1 << 30}},
	})
	for _, want := range []string{"| a q4_1 | decode 1 | 12.3 | 1.00 |  |  |", "| a q4_1 | LoRA step | 5.0 | 3.00 | 2.00 | 1.50 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table lacks %q:\n%s", want, got)
		}
	}
}
