package load

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent is how many bytes one event may have.
const maxEvent = 4 << 20

var errLongEvent = errors.New("an event of the stream is longer than 4 MiB")

// events reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.
// Of its fields only data counts here; comments keep a connection alive.
type events struct {
	r    *bufio.Reader
	data []byte
}

func newEvents(r io.Reader) *events { return &events{r: bufio.NewReaderSize(r, 16<<10)} }

// next returns the data of the next event, io.EOF at the end of the stream. What
// a stream ends with before the event's empty line is an event too: some
// servers leave the last line end out. The bytes are valid until the next call.
func (e *events) next() ([]byte, error) {
	e.data = e.data[:0]
	some := false
	for {
		line, err := e.line()
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			if errors.Is(err, io.EOF) && some {
				return e.data, nil
			}
			return nil, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			if some {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		if some {
			e.data = append(e.data, '\n')
		}
		some = true
		if len(e.data)+len(value) > maxEvent {
			return nil, errLongEvent
		}
		e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
	}
}

// line reads a line of bounded length with its end.
func (e *events) line() ([]byte, error) {
	line, err := e.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	whole := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(whole) > maxEvent {
			return nil, errLongEvent
		}
		line, err = e.r.ReadSlice('\n')
		whole = append(whole, line...)
	}
	return whole, err
}
