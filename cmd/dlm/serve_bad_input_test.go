//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a dlm serve of its own, as a process, on the tiny base.
type served struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
}

func serveTiny(t *testing.T) *served {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	s := &served{t: t, dir: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	l.Close()
	s.cmd = s.dlm("serve", "--base", "GGUF", "--base-name", "tiny", "--addr", s.addr, "--log", "none")
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGINT)
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("dlm serve ended with %v", err)
		}
	})
	if err := until(s.addr, "/readyz", http.StatusOK); err != nil {
		t.Fatal(err)
	}
	return s
}

// dlm is a command in the server's folder; the words GGUF, TINY and OTHER are bases.
func (s *served) dlm(args ...string) *exec.Cmd {
	env, err := offline(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, a := range args {
		for _, e := range env {
			if name, value, _ := strings.Cut(e, "="); a == name || strings.HasPrefix(a, name+"/") {
				args[i] = value + strings.TrimPrefix(a, name)
			}
		}
	}
	cmd := exec.Command("dlm", args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
	return cmd
}

// adapter binds the adapter that comes with a tiny base to a base.
func (s *served) adapter(from, base, name string) string {
	out := filepath.Join(s.dir, name)
	if b, err := s.dlm("adapters", "import", from, "--base", base, "--out", out).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, b)
	}
	return out
}

func (s *served) post(path, body string) (status int, answer string) {
	s.t.Helper()
	resp, err := http.Post("http://"+s.addr+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// raw sends bytes and returns the status that comes back, 0 when the connection
// is closed instead.
func (s *served) raw(text string) int {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, text) // it may be refused before it is whole
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

func (s *served) metric(name string) float64 {
	s.t.Helper()
	resp, err := http.Get("http://" + s.addr + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		if v, ok := strings.CutPrefix(scan.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return f
		}
	}
	s.t.Fatalf("/metrics has no %s", name)
	return 0
}

const wellAsked = `{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":4}`

// asked is the well-formed request with more fields.
func asked(more string) string { return strings.TrimSuffix(wellAsked, "}") + "," + more + "}" }

func formatted(schema string) string {
	return asked(`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":` + schema + `}}`)
}

// TestBadInput sends a running server what nobody should: each is refused with
// the status that says why, and nothing is left of it.
func TestBadInput(t *testing.T) {
	s := serveTiny(t)
	good := s.adapter("TINY/adapter", "GGUF", "good")
	corrupt := s.adapter("TINY/adapter", "GGUF", "corrupt")
	if err := os.Truncate(filepath.Join(corrupt, "adapter_model.safetensors"), 100); err != nil {
		t.Fatal(err)
	}
	foreign := s.adapter("OTHER/adapter", "OTHER", "foreign")
	load := func(dir string) string { return fmt.Sprintf(`{"lora_name":"loaded","lora_path":%q}`, dir) }
	const chat, completions, loads = "/v1/chat/completions", "/v1/completions", "/v1/load_lora_adapter"
	if status, body := s.post(chat, wellAsked); status != http.StatusOK {
		t.Fatal(status, body)
	}
	time.Sleep(100 * time.Millisecond)
	before := s.metric("go_goroutines")
	for _, c := range []struct {
		name, path, body string
		status           int
		param            string
	}{
		{"no JSON", chat, `{"model":`, 400, ""},
		{"nothing", chat, ``, 400, ""},
		{"deep lists", chat, asked(`"stop":` + strings.Repeat("[", 100_000)), 400, ""},
		{"deep objects", chat, asked(`"metadata":` + strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_001)), 400, ""},
		{"a name twice", chat, asked(`"model":"other"`), 400, "model"},
		{"half a character", chat, strings.Replace(wellAsked, "hi", `\ud800`, 1), 400, ""},
		{"no UTF-8", chat, strings.Replace(wellAsked, "hi", "\xff", 1), 400, ""},
		{"a million choices", chat, asked(`"n":1000000`), 400, "n"},
		{"a fraction of a choice", chat, asked(`"n":0.5`), 400, "n"},
		{"a million prompts", completions, `{"model":"tiny","prompt":[` + strings.Repeat(`"a",`, 1_000_000) + `"a"],"max_tokens":1}`, 400, "prompt"},
		{"unknown adapter", chat, strings.Replace(wellAsked, "tiny", "nothing", 1), 404, "model"},
		{"unknown alias", chat, strings.Replace(wellAsked, "tiny", "tiny@prod", 1), 404, "model"},
		{"a path for a name", chat, strings.Replace(wellAsked, "tiny", "../../adapter", 1), 404, "model"},
		{"a long prompt", chat, strings.Replace(wellAsked, "hi", strings.Repeat("word ", 20_000), 1), 400, "messages"},
		{"a long prompt of ids", completions, `{"model":"tiny","prompt":[` + strings.Repeat("1,", 100_000) + `1],"max_tokens":1}`, 400, "prompt"},
		{"ids that are none", completions, `{"model":"tiny","prompt":[-1],"max_tokens":1}`, 400, "?"},
		{"negative max_tokens", completions, `{"model":"tiny","prompt":"a","max_tokens":-1}`, 400, "max_tokens"},
		{"max_tokens beyond numbers", completions, `{"model":"tiny","prompt":"a","max_tokens":1e30}`, 400, "max_tokens"},
		{"a bias that is no number", chat, asked(`"logit_bias":{"1":NaN}`), 400, ""},
		{"an infinite bias", chat, asked(`"logit_bias":{"1":1e999}`), 400, "logit_bias"},
		{"a bias of no token", chat, asked(`"logit_bias":{"100000000":1}`), 400, "logit_bias"},
		{"an infinite temperature", chat, asked(`"temperature":1e999`), 400, "temperature"},
		{"many stops", chat, asked(`"stop":[` + strings.Repeat(`"x",`, 100_000) + `"x"]`), 400, "stop"},
		{"an empty stop", chat, asked(`"stop":""`), 400, "stop"},
		{"a schema that is false", chat, formatted(`false`), 400, "response_format"},
		{"a schema that cannot be met", chat, formatted(`{"type":"object","properties":{"a":{"type":"integer","minimum":2,"maximum":1}}}`), 400, "response_format"},
		{"a schema without end", chat, formatted(`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`), 400, "response_format"},
		{"a schema of itself", chat, formatted(`{"$ref":"#"}`), 400, "response_format"},
		{"a deep schema", chat, formatted(strings.Repeat(`{"items":`, 3000) + `{}` + strings.Repeat(`}`, 3000)), 400, "response_format"},
		{"a schema beyond measure", chat, formatted(`{"type":"string","pattern":"(.*a){12}.{800}","maxLength":3000}`), 400, "response_format"},
		{"an expression that is none", chat, asked(`"guided_regex":"("`), 400, "guided_regex"},
		{"an expression beyond measure", chat, asked(`"guided_regex":"((a?){30}){30}b"`), 400, "guided_regex"},
		{"choices beyond measure", chat, asked(`"guided_choice":[` + strings.Repeat(`"a rather long choice",`, 50_000) + `"x"]`), 400, "guided_choice"},
		{"a format and its opposite", chat, asked(`"guided_choice":["a"],"min_tokens":4`), 400, "response_format"},
		{"a temperature of nearly nothing", chat, asked(`"temperature":1e-300`), 200, ""},
		{"an adapter of another base", loads, load(foreign), 400, "lora_path"},
		{"a corrupt adapter", loads, load(corrupt), 400, "lora_path"},
		{"no adapter", loads, load("/etc"), 400, "lora_path"},
		{"an adapter under the base's name", loads, fmt.Sprintf(`{"lora_name":"tiny","lora_path":%q}`, good), 400, "lora_name"},
		{"an adapter after the bad ones", loads, load(good), 200, ""},
	} {
		start := time.Now()
		status, body := s.post(c.path, c.body)
		if status != c.status {
			t.Errorf("%s: %d, expected %d: %.300s", c.name, status, c.status, body)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s: %v", c.name, d)
		}
		if c.status == 200 {
			continue
		}
		var answer struct {
			Error struct {
				Message string
				Param   *string
			}
		}
		err := json.Unmarshal([]byte(body), &answer)
		param := ""
		if answer.Error.Param != nil {
			param = *answer.Error.Param
		}
		if err != nil || answer.Error.Message == "" || len(answer.Error.Message) > 1000 || param != c.param && c.param != "?" {
			t.Errorf("%s: param %q, expected %q: %.300s", c.name, param, c.param, body)
		}
	}
	s.wire()
	if status, body := s.post(chat, wellAsked); status != http.StatusOK {
		t.Fatal(status, body)
	}
	var after float64
	for range 50 {
		if after = s.metric("go_goroutines"); after <= before+5 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if after > before+5 {
		t.Errorf("%v goroutines, %v before", after, before)
	}
	if rss := s.metric("process_resident_memory_bytes"); rss > 1<<30 {
		t.Errorf("%.0f MB in memory", rss/1e6)
	}
}

// wire sends what is wrong below JSON.
func (s *served) wire() {
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: " + s.addr + "\r\n"
	for name, c := range map[string]struct {
		text   string
		status []int
	}{
		"a body of 100 MB":         {head + "Content-Length: 104857600\r\n\r\n" + strings.Repeat("x", 1<<20), []int{413}},
		"a body without length":    {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+strings.Repeat(" ", 1<<20)+"\r\n", 12), []int{413, 0}},
		"two lengths":              {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", []int{400}},
		"a negative length":        {head + "Content-Length: -1\r\n\r\n{}", []int{400}},
		"a million header bytes":   {head + "X: " + strings.Repeat("a", 1_000_000) + "\r\n\r\n", []int{431, 0}},
		"many headers":             {head + strings.Repeat("X: a\r\n", 100_000) + "\r\n", []int{431, 0}},
		"a long address":           {"GET /" + strings.Repeat("a", 1_000_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431, 0}},
		"no HTTP":                  {"\x16\x03\x01\x02\x00\x01\r\n\r\n", []int{400, 0}},
		"a compressed body":        {head + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", []int{400, 415}},
		"a foreign host's page":    {strings.Replace(head, s.addr, "evil.example", 1) + "Content-Length: 2\r\n\r\n{}", []int{403}},
		"a control in a header":    {head + "X-Request-Id: a\x01b\r\nContent-Length: 2\r\n\r\n{}", []int{400}},
		"an endpoint that is none": {"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: " + s.addr + "\r\n\r\n", []int{301, 307, 400, 404}},
	} {
		got, ok := s.raw(c.text), false
		for _, want := range c.status {
			ok = ok || got == want
		}
		if !ok {
			s.t.Errorf("%s: %d, expected one of %v", name, got, c.status)
		}
	}
	// Many clients that never finish what they began do not keep others from being
	// answered.
	var slow []net.Conn
	for i := range 200 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		slow = append(slow, c)
		text := head
		if i%2 == 0 {
			text += "Content-Length: 1000\r\n\r\n{"
		}
		_, _ = io.WriteString(c, text)
	}
	if status, body := s.post("/v1/chat/completions", wellAsked); status != http.StatusOK {
		s.t.Error("beside slow clients:", status, body)
	}
	for _, c := range slow {
		c.Close()
	}
}
