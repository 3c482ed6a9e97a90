package load

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func all(r io.Reader) (out []string, err error) {
	e := newEvents(r)
	for {
		data, err := e.next()
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func TestEvents(t *testing.T) {
	long := strings.Repeat("y", 40<<10)
	in := ": hello\r\n\r\ndata: a\r\n\r\nevent: x\nid: 1\ndata: b\ndata:c\n\n\n\ndata: " + long + "\n\ndata: [DONE]"
	want := []string{"a", "b\nc", long, "[DONE]"}
	for what, r := range map[string]io.Reader{"at once": strings.NewReader(in), "by bytes": iotest.OneByteReader(strings.NewReader(in))} {
		got, err := all(r)
		if !errors.Is(err, io.EOF) || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %.80q, %v", what, got, err)
		}
	}
	if _, err := all(io.MultiReader(strings.NewReader("data: a\n"), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a connection that breaks: %v", err)
	}
	for _, endless := range []string{strings.Repeat("z", maxEvent+20<<10), strings.Repeat("data: "+long+"\n", 200)} {
		if _, err := all(strings.NewReader(endless)); !errors.Is(err, errLongEvent) {
			t.Errorf("an endless event: %v", err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: a\n\ndata: b\r\n\r\n"))
	f.Add([]byte(":c\ndata:\ndata: [DONE]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := all(bytes.NewReader(b))
		if !errors.Is(err, io.EOF) {
			t.Fatalf("%v", err)
		}
		// However it is cut into reads, the events are the same.
		again, _ := all(iotest.OneByteReader(bytes.NewReader(b)))
		if strings.Join(got, "\x00") != strings.Join(again, "\x00") || len(got) != len(again) {
			t.Errorf("%q, %q", got, again)
		}
	})
}
