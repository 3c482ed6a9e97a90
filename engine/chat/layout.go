package chat

import (
	"fmt"
	"strings"
)

// turn is where one assistant message stands in a rendered conversation.
type turn struct {
	message int      // index into the messages
	start   int      // byte at which its prompt ends
	end     int      // byte after its end-of-turn token
	spans   [][2]int // what of start..end counts in the loss
	err     error    // why it cannot be trained on; start and end are then unset
}

// layout finds the assistant turns in r, which is the rendering of msgs. A turn
// begins where the rendering of the messages before it, with a generation
// prompt, ends.
func (t *Template) layout(msgs []Message, r text) []turn {
	var turns []turn
	for k, m := range msgs {
		if m.Role != assistant {
			continue
		}
		found := turn{message: k}
		found.err = t.locate(&found, msgs, r)
		turns = append(turns, found)
	}
	return turns
}

// locate fills in one turn.
func (t *Template) locate(u *turn, msgs []Message, r text) error {
	k := u.message
	name := fmt.Sprintf("message %d (%s)", k+1, assistant)
	if k == 0 {
		return fmt.Errorf("%s: nothing stands before it that it could answer", name)
	}
	prompt, err := t.render(msgs[:k], true)
	if err != nil {
		return fmt.Errorf("%s: its prompt: %w", name, err)
	}
	upTo, err := t.render(msgs[:k+1], false)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !strings.HasPrefix(upTo.s, prompt.s) {
		at := commonPrefix(upTo.s, prompt.s)
		return fmt.Errorf("%s: the chat template begins it otherwise than a prompt for it ends (%q, the prompt has %q), so training and serving would differ",
			name, excerpt(upTo.s[at:]), excerpt(prompt.s[at:]))
	}
	start := len(prompt.s)
	end := t.turnEnd(upTo, start)
	if !strings.HasPrefix(r.s, upTo.s[:end]) {
		at := commonPrefix(r.s, upTo.s[:end])
		return fmt.Errorf("%s: the chat template rewrites it once more messages follow (%q becomes %q); train only on the last turn of such a conversation",
			name, excerpt(upTo.s[at:end]), excerpt(r.s[at:]))
	}
	spans := [][2]int{{start, end}}
	if t.hasBlocks {
		if spans = clip(r.blocks, start, end); len(spans) == 0 {
			return fmt.Errorf("%s: the chat template has generation blocks, but none in this turn", name)
		}
		if spans[0][0] != start {
			return fmt.Errorf("%s: the generation block begins after %q, which no prompt ends with, so serving would never see it",
				name, excerpt(r.s[start:spans[0][0]]))
		}
	}
	u.start, u.end, u.spans = start, end, spans
	return nil
}

// turnEnd returns where the turn ends that begins at start and is the last of r:
// after its end-of-turn token, or at the end of r without one.
func (t *Template) turnEnd(r text, start int) int {
	if t.endOfTurn < 0 {
		return len(r.s)
	}
	end := len(r.s)
	for _, span := range t.tok.AddedSpans(r.s[start:], func(id int32) bool { return id == t.endOfTurn }) {
		from, to := start+span[0], start+span[1]
		if len(clip(r.plain, from, to)) == 0 {
			end = to
		}
	}
	return end
}

// clip returns the parts of sorted spans that lie in from..to.
func clip(spans [][2]int, from, to int) [][2]int {
	var out [][2]int
	for _, s := range spans {
		if lo, hi := max(s[0], from), min(s[1], to); lo < hi {
			out = append(out, [2]int{lo, hi})
		}
	}
	return out
}

func commonPrefix(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}

// excerpt shortens text for an error.
func excerpt(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
