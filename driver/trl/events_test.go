package trl

import (
	"fmt"
	"strings"
	"testing"
)

func TestParser(t *testing.T) {
	text := `{"kind":"step","step":3,"steps":9,"loss":0.25,"tokens_per_second":7}` + "\n\n" + `{"kind":"sta` + "\n" + `[1]` + "\n" + `{"step":1}` + "\n" +
		`{"kind":"error","type":"oom","message":"m","hint":"h","new_field":{}}` + "\n" + `{"kind":"step"`
	for _, size := range []int{1, 3, len(text)} {
		var p parser
		var got []string
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			p.push([]byte(rest[:n]), func(e Event) {
				got = append(got, fmt.Sprint(e.Kind, e.Step, e.Loss, e.Type, strings.Contains(e.Text, "cannot be read")))
			})
			rest = rest[n:]
		}
		want := "[step3 0.25false note0 0true note0 0true note0 0true error0 0oomfalse]"
		if fmt.Sprint(got) != want || string(p.rest) != `{"kind":"step"` {
			t.Errorf("pieces of %d: %v, rest %q", size, got, p.rest)
		}
	}
}

// Whatever the program or a broken disk writes: no panic, the same events however
// the bytes are cut, and never a result that was not written.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("{\"kind\":\"done\",\"step\":1}\n"), 3)
	f.Add([]byte("{\"kind\":\"step\",\"loss\":1e999}\n{\"kind\":\"rollout\",\"rollouts\":[{\"row\":1}]}\n"), 1)
	f.Add([]byte("\x00\xff\n{\"kind\":\"start\",\"versions\":{\"a\":\"b\"}}\n{"), 2)
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		all := func(pieces ...[]byte) string {
			var p parser
			var s seen
			out := ""
			for _, piece := range pieces {
				p.push(piece, func(e Event) {
					s.take(e)
					shown, ok := s.show(e)
					shown.Left = 0 // from the clock
					out += fmt.Sprint(e.Kind, shown, ok, s.made("here"), e.about())
				})
			}
			if s.done != nil && !strings.Contains(string(raw), "done") && !strings.Contains(string(raw), `\u`) {
				t.Error("done out of nothing")
			}
			return out
		}
		cut = max(0, min(cut, len(raw)))
		if a, b := all(raw), all(raw[:cut], raw[cut:]); a != b {
			t.Errorf("whole: %s\ncut: %s", a, b)
		}
	})
}
