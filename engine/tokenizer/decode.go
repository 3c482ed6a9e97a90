package tokenizer

import "unicode/utf8"

// Decode returns the text of ids, special tokens as they are written. Bytes
// that are no valid UTF-8 come back as they went in. Ids that do not exist
// have no text.
func (t *Tokenizer) Decode(ids []int32) string {
	n := 0
	for _, id := range ids {
		n += len(t.piece(id))
	}
	buf := make([]byte, 0, n)
	for _, id := range ids {
		buf = append(buf, t.piece(id)...)
	}
	return string(buf)
}

// Piece returns the bytes that one id stands for, which need not be whole
// characters; nil when there is no such id. The caller may keep them.
func (t *Tokenizer) Piece(id int32) []byte { return []byte(t.piece(id)) }

func (t *Tokenizer) piece(id int32) string {
	if id < 0 || int(id) >= len(t.pieces) {
		return ""
	}
	return t.pieces[id]
}

// Stream decodes one id at a time and holds back characters that are not whole
// yet. All that Push returns, and Flush at the end, is what Decode returns.
type Stream struct {
	t    *Tokenizer
	held []byte // the beginning of one character, at most three bytes
}

// Stream returns a decoder for one sequence of ids.
func (t *Tokenizer) Stream() *Stream { return &Stream{t: t} }

// Push takes the next id and returns the text that is whole by now.
func (s *Stream) Push(id int32) string {
	s.held = append(s.held, s.t.piece(id)...)
	whole := len(s.held) - incompleteTail(s.held)
	out := string(s.held[:whole])
	s.held = append(s.held[:0], s.held[whole:]...)
	return out
}

// Flush returns what is still held back.
func (s *Stream) Flush() string {
	out := string(s.held)
	s.held = s.held[:0]
	return out
}

// incompleteTail returns the length of the beginning of a character at the end
// of b that further bytes may complete.
func incompleteTail(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		tail := b[len(b)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
