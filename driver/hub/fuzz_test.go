package hub

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzReason: whatever a refusal's body holds, the reason is one short line.
func FuzzReason(f *testing.F) {
	for _, s := range []string{
		`{"error":"Invalid credentials"}`, `{"error":["a","b"],"errors":[{"message":"c"}]}`, `{"message":"lfs"}`, `{"error":{"x":1}}`, "<html>login</html>",
		`<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`, "\x1b[31mred\r\n", `{"error":"\u001b[31mred\u0000"}`, `{"error":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := reasonIn(body)
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\r\t\x1b\x00") || utf8.RuneCountInString(s) > 410 {
			t.Errorf("reason %q", s)
		}
	})
}

// FuzzBatch: an answer of the batch interface is refused or fits the file.
func FuzzBatch(f *testing.F) {
	oid := strings.Repeat("a", 64)
	for _, s := range []string{
		`{"objects":[{"oid":"` + oid + `","size":25}]}`,
		`{"objects":[{"oid":"` + oid + `","size":25,"actions":{"upload":{"href":"https://store.example/x","header":{"chunk_size":"10","1":"https://s.example/1","2":"https://s.example/2","3":"https://s.example/3"}},"verify":{"href":"https://h.example/v"}}}]}`,
		`{"objects":[{"oid":"` + oid + `","size":25,"error":{"code":403,"message":"full"}}]}`,
		`{"objects":[{"oid":"` + oid + `","size":25,"actions":{"upload":{"href":"ftp://x","header":{"chunk_size":"-1"}}}}]}`,
	} {
		f.Add([]byte(s))
	}
	h := &Hub{opt: Options{Endpoint: "https://h.example"}, cache: "nowhere"}
	file := &outgoing{path: "m", size: 25, sha256: oid}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseBatch(raw, oid, file.size)
		if err != nil || o.Actions == nil || o.Actions.Upload == nil {
			return
		}
		s, err := h.newUploadState(Ref{Repo: "a/b"}, file, o)
		if err != nil {
			return
		}
		for _, a := range append([]string{s.Href}, s.Parts...) {
			u, err := url.Parse(a)
			if err != nil || u.Scheme != "https" || u.Host == "" {
				t.Errorf("address %q", a)
			}
		}
		if s.Parts == nil {
			return
		}
		if n := int64(len(s.Parts)); (n-1)*s.Chunk >= file.size || n*s.Chunk < file.size && n < 1<<40/s.Chunk {
			t.Errorf("%d parts of %d bytes for %d", n, s.Chunk, file.size)
		}
		if back, err := h.parseUpload(encode(s)); err != nil || back.Oid != oid || len(back.Parts) != len(s.Parts) {
			t.Errorf("what was kept is not read again: %v", err)
		}
	})
}

// FuzzUploadState: a damaged state is refused, not followed.
func FuzzUploadState(f *testing.F) {
	f.Add([]byte(`{"format":1,"endpoint":"https://h.example","repo":"a/b","oid":"x","size":25,"chunk":10,"href":"https://s.example/c","parts":["https://s.example/1","https://s.example/2","https://s.example/3"],"etags":{"1":"\"a\""}}`))
	f.Add([]byte(`{"format":1,"size":9223372036854775807,"chunk":1}`))
	f.Add([]byte(`{"format":1,"endpoint":"https://h.example","size":25,"chunk":10,"href":"https://s.example/c","parts":["https://s.example/1"]}`))
	f.Add([]byte(`{"format":1,"endpoint":"https://h.example","size":5,"chunk":10,"href":"https://s.example/c","parts":["https://s.example/1"],"etags":{"2":"x"}}`))
	h := &Hub{opt: Options{Endpoint: "https://h.example"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := h.parseUpload(raw)
		if err != nil {
			return
		}
		for n := range s.ETags {
			if n < 1 || n > len(s.Parts) {
				t.Errorf("part %d of %d", n, len(s.Parts))
			}
		}
		if at := int64(len(s.Parts)-1) * s.Chunk; at < 0 || at >= s.Size || s.Size-at > s.Chunk {
			t.Errorf("the last part begins at %d of %d, and parts have %d", at, s.Size, s.Chunk)
		}
	})
}

// FuzzPreupload: every file is told how to come, or the answer is refused.
func FuzzPreupload(f *testing.F) {
	f.Add([]byte(`{"files":[{"path":"a","uploadMode":"lfs","shouldIgnore":false,"oid":"x"},{"path":"b","uploadMode":"regular"}]}`))
	f.Add([]byte(`{"files":[{"path":"a","uploadMode":"lfs"},{"path":"a","uploadMode":"lfs"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a preuploadAnswer
		if json.Unmarshal(raw, &a) != nil {
			return
		}
		files := map[string]*outgoing{"a": {path: "a", size: 3}, "b": {path: "b"}}
		if a.apply(files) == nil && (len(a.Files) != 2 || a.Files[0].Path == a.Files[1].Path) {
			t.Errorf("taken: %+v", a)
		}
	})
}

// FuzzRetryAfter: no header makes a wait that is negative or without end.
func FuzzRetryAfter(f *testing.F) {
	f.Add("12", `"api";r=0;t=55`)
	f.Add("-1", "")
	f.Add("99999999999999999999", `;r=0;t=999999`)
	f.Fuzz(func(t *testing.T, after, limit string) {
		d := retryAfter(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {after}, "Ratelimit": {limit}}})
		if d < 0 || d.Hours() > 300 {
			t.Errorf("%v", d)
		}
	})
}
