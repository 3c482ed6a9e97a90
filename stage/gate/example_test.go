package gate_test

import (
	"fmt"

	"dlm"
	"dlm/stage/gate"
)

func ExampleDecide() {
	candidate, baseline := dlm.Arm{Name: "claims-r16"}, dlm.Arm{Name: "few-shot-4"}
	for i := range 200 {
		score := func(right bool) map[string]dlm.Score {
			if right {
				return map[string]dlm.Score{"record": {Value: 1}}
			}
			return map[string]dlm.Score{"record": {}}
		}
		id := fmt.Sprintf("q%d", i)
		candidate.Samples = append(candidate.Samples, dlm.Sample{ItemID: id, Scores: score(i < 134)})
		baseline.Samples = append(baseline.Samples, dlm.Sample{ItemID: id, Scores: score(i >= 80 && i < 190)})
	}
	v, err := gate.Decide(candidate, baseline, gate.Options{Metric: "record", Margin: 0.02})
	if err != nil {
		fmt.Println(err)
		return
	}
	code, _ := gate.Exit(v, gate.Block)
	fmt.Println(v.Outcome, code)
	fmt.Println(v.Reason)
	// Output:
	// pass 0
	// claims-r16 has record 67.0%, few-shot-4 has 55.0% on the same 200 items: difference +12.0, 95% interval +0.6 to +23.1; even the lower end is no worse than the 2.0 points of drop allowed
}
