package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dlm"
)

// TestFormatsAreKept: a format that was asked for is compiled once, one that
// cannot be met is a fault that names the field and the place.
func TestFormatsAreKept(t *testing.T) {
	for _, base := range []string{"llama-tied", "llama3-untied", "qwen2", "qwen3"} {
		n := open(t, base, Options{})
		f := &dlm.Format{Schema: json.RawMessage(`{"type":"object","properties":{"kind":{"enum":["card","loan"]}},"required":["kind"],"additionalProperties":false}`)}
		for range 3 {
			g, err := n.grammar(f)
			if err != nil {
				t.Fatalf("%s: %v", base, err)
			}
			for _, id := range n.tok.Encode(`{"kind":"loan"}`) {
				if !g.Advance(id) {
					t.Fatalf("%s: %q is not taken", base, n.Piece(id))
				}
			}
			if !g.Advance(n.id.StopIDs[0]) {
				t.Errorf("%s: the end is not taken", base)
			}
		}
		if k := n.formats.order.Len(); k != 1 {
			t.Errorf("%d formats are kept, expected 1", k)
		}
		for _, c := range []struct {
			f           *dlm.Format
			param, want string
		}{
			{&dlm.Format{Schema: json.RawMessage(`{"type":"object","properties":{"a":{"enum":[]}}}`)}, "response_format", "#/properties/a/enum"},
			{&dlm.Format{Regex: `(?=x)`}, "guided_regex", "look-around"},
			{&dlm.Format{Choices: []string{""}}, "guided_choice", "choice 0 is empty"},
		} {
			_, err := n.grammar(c.f)
			var fault *dlm.Fault
			if !errors.As(err, &fault) || fault.Kind != dlm.FaultRequest || fault.Param != c.param || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v (%+v); expected a fault of %s that says %q", base, err, fault, c.param, c.want)
			}
		}
		if k := n.formats.order.Len(); k != 1 {
			t.Errorf("%d formats are kept after errors, expected 1", k)
		}
	}
}

func TestFormatsLeave(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	for i := range maxFormats + 10 {
		if _, err := n.grammar(&dlm.Format{Choices: []string{fmt.Sprint("choice ", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if k := n.formats.order.Len(); k != maxFormats || len(n.formats.byKey) != k {
		t.Errorf("%d formats are kept, %d found; expected %d", k, len(n.formats.byKey), maxFormats)
	}
}
