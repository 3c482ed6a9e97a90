package remote

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// ErrDone ends a stream from within: all that is needed has come.
var ErrDone = errors.New("done")

// MaxLine is the longest line of a stream, in bytes.
const MaxLine = 16 << 20

// Lines calls f with each line of a stream until f returns ErrDone. A stream
// that ends otherwise is io.ErrUnexpectedEOF.
func Lines(r io.Reader, f func(line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 16<<10), MaxLine)
	for s.Scan() {
		if err := f(s.Bytes()); errors.Is(err, ErrDone) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return &BrokenError{err}
	}
	return &BrokenError{io.ErrUnexpectedEOF}
}

// BrokenError is a stream that ended before its end.
type BrokenError struct{ Err error }

// Error says that the answer broke off.
func (e *BrokenError) Error() string { return "the answer broke off: " + e.Err.Error() }

// Unwrap returns how.
func (e *BrokenError) Unwrap() error { return e.Err }

// Events calls f with the data of each server-sent event until [DONE], or until
// f returns an error; ErrDone is none. Events of several data lines, which no
// server of this protocol sends, are taken line by line.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func Events(r io.Reader, f func(data []byte) error) error {
	return Lines(r, func(line []byte) error {
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			data, ok = bytes.CutPrefix(line, []byte("error:")) // llama.cpp's, where it is old
		}
		if !ok {
			return nil // blank lines, comments, other fields
		}
		if data = bytes.TrimSpace(data); string(data) == "[DONE]" {
			return ErrDone
		}
		return f(data)
	})
}
