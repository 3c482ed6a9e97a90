package route

import (
	"testing"

	"dlm"
	"dlm/serve"
)

// FuzzRoute: whatever a stranger asks for, it is a name that is known or a
// refusal; never the base instead of something else.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"tiny", "bank", "bank@prod", "bank@", "@", "@@", "bank@sha256:", "bank@0000", "tiny@prod", "\x00", "bank@prod@canary"} {
		f.Add(seed)
	}
	c := newRig(f)
	one, two := put(f, c.store, "bank", "one", ourBase), put(f, c.store, "bank", "two", ourBase)
	point(f, c.store, "bank@prod", one, 0)
	point(f, c.store, "bank@canary", two, 0.5)
	c.start()
	f.Fuzz(func(t *testing.T, model string) {
		got, err := c.Route(ctx, serve.Query{Model: model})
		switch {
		case err != nil && dlm.FaultOf(err) != dlm.FaultUnknown:
			t.Errorf("%q: %v", model, err)
		case err == nil && got.Adapter == "" && model != "tiny":
			t.Errorf("%q is answered by the base", model)
		case err == nil && got.Adapter != "" && got.Name != "bank":
			t.Errorf("%q: %+v", model, got)
		}
	})
}
