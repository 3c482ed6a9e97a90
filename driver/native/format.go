package native

import (
	"container/list"
	"crypto/sha256"
	"encoding/json"
	"sync"

	"dlm"
	"dlm/engine/grammar"
	"dlm/engine/infer"
)

// What is kept of formats that were asked for: the next request finds the masks
// of the last one.
const (
	maxFormats     = 128
	maxFormatBytes = 256 << 20
)

// formatShelf holds a base's grammars, the least recently used at the end.
type formatShelf struct {
	mu    sync.Mutex
	vocab *grammar.Vocabulary // made when a format is first asked for
	order list.List           // of *shelvedFormat
	byKey map[[sha256.Size]byte]*list.Element
}

type shelvedFormat struct {
	key  [sha256.Size]byte
	made func() (*grammar.Automaton, error) // once
	a    *grammar.Automaton                 // nil = not made yet
}

// grammar returns what holds one completion to a format. A format that cannot be
// enforced, or never be met, is a fault of the request.
func (t *Text) grammar(f *dlm.Format) (infer.Grammar, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	key, err := json.Marshal(f)
	if err != nil {
		return nil, &dlm.Fault{Kind: dlm.FaultRequest, Param: f.Param(), Err: err}
	}
	a, err := t.formats.automaton(t, sha256.Sum256(key), f)
	if err != nil {
		return nil, &dlm.Fault{Kind: dlm.FaultRequest, Param: f.Param(), Err: err}
	}
	return a.Matcher(), nil
}

// automaton returns the automaton of a format, the one that was made before if
// it is still there. One that fails is not kept.
func (s *formatShelf) automaton(t *Text, key [sha256.Size]byte, f *dlm.Format) (*grammar.Automaton, error) {
	s.mu.Lock()
	e, ok := s.byKey[key]
	if ok {
		s.order.MoveToFront(e)
	} else {
		if s.vocab == nil {
			s.vocab, s.byKey = t.vocabulary(), map[[sha256.Size]byte]*list.Element{}
		}
		e = s.order.PushFront(&shelvedFormat{key: key, made: sync.OnceValues(func() (*grammar.Automaton, error) { return compileFormat(f, s.vocab) })})
		s.byKey[key] = e
	}
	s.mu.Unlock()
	a, err := e.Value.(*shelvedFormat).made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.drop(e)
		return nil, err
	}
	e.Value.(*shelvedFormat).a = a
	s.shrink(e) // automata grow as they are used
	return a, nil
}

// shrink lets go of what was used longest ago until the rest is small enough;
// fresh stays.
func (s *formatShelf) shrink(fresh *list.Element) {
	sum := 0
	var next *list.Element
	n := 0
	for e := s.order.Front(); e != nil; e = next {
		next = e.Next()
		if n++; e != fresh && (n > maxFormats || sum > maxFormatBytes) {
			s.drop(e)
			continue
		}
		if a := e.Value.(*shelvedFormat).a; a != nil {
			sum += a.Bytes()
		}
	}
}

// drop takes one off the shelf; completions that use it keep it.
func (s *formatShelf) drop(e *list.Element) {
	f := e.Value.(*shelvedFormat)
	if s.byKey[f.key] == e {
		delete(s.byKey, f.key)
		s.order.Remove(e)
	}
}

func compileFormat(f *dlm.Format, v *grammar.Vocabulary) (*grammar.Automaton, error) {
	var g *grammar.Grammar
	var err error
	switch {
	case f.JSON:
		g = grammar.JSONObject()
	case len(f.Schema) > 0:
		g, err = grammar.JSONSchema(f.Schema)
	case f.Regex != "":
		g, err = grammar.Regex(f.Regex)
	default:
		g, err = grammar.Choices(f.Choices)
	}
	if err != nil {
		return nil, err
	}
	return grammar.New(g, v)
}

// vocabulary is what the base's tokens spell; special ones spell nothing.
func (t *Text) vocabulary() *grammar.Vocabulary {
	pieces := make([][]byte, t.tok.Size())
	for id := range pieces {
		if !t.tok.IsSpecial(int32(id)) {
			pieces[id] = t.tok.Piece(int32(id))
		}
	}
	return grammar.NewVocabulary(pieces, t.id.StopIDs, t.tok.Encode)
}
