package serve

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// words splits a command line as a shell would that knows quotes and line
// continuations, no more.
func words(s string) []string {
	s = strings.ReplaceAll(s, "\\\n", " ")
	var out []string
	var word strings.Builder
	quote, in := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\n':
			if in {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The examples of docs/API.md are answered as they stand there.
func TestExamplesOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, nil)
	blocks := shellBlock.FindAllStringSubmatch(string(doc), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		w := words(b[1])
		if w[0] != "curl" {
			t.Errorf("an example is no curl: %v", w)
			continue
		}
		method, url, body := http.MethodGet, "", ""
		header := []string{"Authorization", "Bearer admin"}
		for i := 1; i < len(w); i++ {
			switch w[i] {
			case "-N":
			case "-d":
				i++
				method, body = http.MethodPost, w[i]
			case "-H":
				i++
				name, value, _ := strings.Cut(w[i], ": ")
				header = append(header, name, value)
			default:
				url = w[i]
			}
		}
		path := strings.TrimPrefix(url, "http://localhost:8080")
		status, _, answer := p.ask(t, path, body, header...)
		if status != 200 || method == http.MethodPost && body == "" {
			t.Errorf("%s\n%d %s", b[1], status, answer)
		}
	}
}

// Every endpoint stands in docs/API.md.
func TestEndpointsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, nil)
	for path := range p.paths() {
		path = strings.TrimPrefix(strings.TrimSuffix(path, "/{id...}"), "/v1")
		if !strings.Contains(string(doc), path) {
			t.Errorf("docs/API.md does not tell of %s", path)
		}
	}
}
