package dlm

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestProbeRoundTrip(t *testing.T) {
	p := Probe{Precision: "bf16", IDs: []int32{1, 2, 3}, Base: []float64{-1, -2.5}, Adapter: []float64{-0.5, -2}}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseProbe(raw)
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("%+v came back as %+v (%v)", p, back, err)
	}
	if p.Moved() != 0.5 {
		t.Errorf("moved by %v", p.Moved())
	}
}

func TestProbeRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		``:                                      "broken",
		`{"format":9}`:                          "format 9",
		`{"format":1}`:                          "0 ids",
		`{"format":1}x`:                         "broken",
		`{"format":1,"ids":[1,2],"base":[0.5]}`: "base[0]",
		`{"format":1,"ids":[1,2],"base":[]}`:    "base has 0",
		`{"format":1,"ids":[1,2],"base":[-1],"adapter":[-1,0]}`: "adapter has 2",
		`{"format":1,"ids":[1,2],"base":[-1],"extra":true}`:     "extra",
	} {
		if _, err := ParseProbe([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", raw, err, want)
		}
	}
	bad := Probe{IDs: []int32{1, 2}, Base: []float64{math.NaN()}}
	if _, err := bad.Marshal(); err == nil {
		t.Error("a NaN was written")
	}
	if !math.IsInf(MeanDifference([]float64{1}, nil), 1) {
		t.Error("lists of other lengths have a difference")
	}
}

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(`{"format":1,"precision":"bf16","zero":false,"ids":[1,2],"base":[-1],"adapter":[-2]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ParseProbe(raw)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", p, err)
		}
		if q, err := ParseProbe(again); err != nil || !reflect.DeepEqual(p.Base, q.Base) {
			t.Fatalf("%+v came back as %+v (%v)", p, q, err)
		}
	})
}
