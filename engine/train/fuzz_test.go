package train

import (
	"encoding/json"
	"testing"
)

func FuzzState(f *testing.F) {
	id := []field{{"lr", "0.1"}}
	good, err := json.Marshal(state{Format: checkpointForm, Step: 2, Identity: id, Hash: identityHash(id), Losses: []float64{2, 1}, Best: &Eval{1, 2}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"step":-1}`))
	f.Add([]byte(`{"format":1,"step":3,"losses":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		st, err := parseState(raw)
		if err == nil && (st.Step < 0 || len(st.Losses) != st.Step || st.Hash != identityHash(st.Identity)) {
			t.Errorf("accepted %+v", st)
		}
	})
}
