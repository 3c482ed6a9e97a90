package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Example is one training example as the base sees it.
type Example struct {
	ID   string  // for messages to people
	IDs  []int32 // [T]
	Mask []bool  // [T] completion mask: true = the token counts in the loss
}

// rows returns how many tokens must go through the base: those before the last
// target. The tokens from there on influence no target.
func (e Example) rows() int {
	for t := len(e.IDs) - 1; t > 0; t-- {
		if e.Mask[t] {
			return t
		}
	}
	return 0
}

// targets counts the tokens in the loss.
func (e Example) targets() int {
	n := 0
	for _, m := range e.Mask {
		if m {
			n++
		}
	}
	return n
}

// checkExamples refuses examples that cannot be trained on, naming them. what
// says which set they are, "training" or "held-out".
func checkExamples(what string, data []Example, vocab, maxLen int) error {
	var bad []string
	for i, e := range data {
		if why := e.wrong(vocab, maxLen); why != "" {
			bad = append(bad, fmt.Sprintf("%s example %d (%s): %s", what, i+1, e.ID, why))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	const shown = 5
	if len(bad) > shown {
		bad = append(bad[:shown], fmt.Sprintf("and %d more", len(bad)-shown))
	}
	return fmt.Errorf("cannot train on these rows: %s; correct or remove them", strings.Join(bad, "; "))
}

// wrong says why an example cannot be trained on, "" if it can.
func (e Example) wrong(vocab, maxLen int) string {
	if len(e.IDs) != len(e.Mask) {
		return fmt.Sprintf("%d tokens but a mask of %d", len(e.IDs), len(e.Mask))
	}
	if len(e.IDs) > 0 && e.Mask[0] {
		return "its first token is in the loss, but nothing stands before it to predict it from"
	}
	if e.targets() == 0 {
		return "its completion mask is empty: no token is in the loss"
	}
	if len(e.IDs) > maxLen {
		return fmt.Sprintf("%d tokens, more than max_len %d; shorten it, raise max_len, or truncate", len(e.IDs), maxLen)
	}
	for t, id := range e.IDs {
		if id < 0 || int(id) >= vocab {
			return fmt.Sprintf("token %d has id %d, outside the base's vocabulary of %d", t, id, vocab)
		}
	}
	return ""
}

// dataHash names a set of examples: ids, tokens, masks and their order.
func dataHash(data []Example) string {
	h := sha256.New()
	var b [8]byte
	num := func(n int) {
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
	num(len(data))
	for _, e := range data {
		num(len(e.ID))
		h.Write([]byte(e.ID))
		num(len(e.IDs))
		for t, id := range e.IDs {
			binary.LittleEndian.PutUint32(b[:], uint32(id))
			b[4] = 0
			if e.Mask[t] {
				b[4] = 1
			}
			h.Write(b[:5])
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// names lists the ids of some examples for a message, at most eight.
func names(data []Example, idx []int) string {
	const shown = 8
	var ids []string
	for _, i := range idx[:min(len(idx), shown)] {
		ids = append(ids, data[i].ID)
	}
	s := strings.Join(ids, ", ")
	if len(idx) > shown {
		s += fmt.Sprintf(" and %d more", len(idx)-shown)
	}
	return s
}
