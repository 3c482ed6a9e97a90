package ollama

import (
	"fmt"
	"strconv"
	"strings"
)

// Modelfile is what Ollama makes a model from.
type Modelfile struct {
	From        string   // GGUF file, relative to the Modelfile
	Adapter     string   // GGUF LoRA file; "" = none
	Template    string   // of Template
	System      string   // message that conversations without one begin with; "" = none
	Stop        []string // texts of the tokens that end an answer
	Context     int      // tokens
	Temperature float64
	License     string // text or name; "" = not stated
	Comment     string // first lines
}

// Text writes the Modelfile. A field that cannot stand in one is an error.
func (m Modelfile) Text() (string, error) {
	var b strings.Builder
	for line := range strings.Lines(m.Comment) {
		b.WriteString("# " + strings.TrimRight(line, "\n") + "\n")
	}
	path := func(s string) string { return "./" + s }
	b.WriteString("FROM " + path(m.From) + "\n")
	if m.Adapter != "" {
		b.WriteString("ADAPTER " + path(m.Adapter) + "\n")
	}
	for _, f := range []struct{ command, text string }{{"TEMPLATE", m.Template}, {"SYSTEM", m.System}, {"LICENSE", m.License}} {
		if f.text == "" {
			continue
		}
		if strings.Contains(f.text, `"""`) || strings.HasSuffix(f.text, `"`) || strings.HasPrefix(f.text, `"`) {
			return "", fmt.Errorf("%s holds three quotation marks, or begins or ends with one; a Modelfile cannot hold that", f.command)
		}
		b.WriteString(f.command + ` """` + f.text + `"""` + "\n")
	}
	// Ollama's own defaults would penalise repetition and draw at random.
	b.WriteString("PARAMETER temperature " + strconv.FormatFloat(m.Temperature, 'g', -1, 64) + "\nPARAMETER repeat_penalty 1\n")
	fmt.Fprintf(&b, "PARAMETER num_ctx %d\n", m.Context)
	for _, s := range m.Stop {
		if strings.ContainsAny(s, "\"\n\r") {
			return "", fmt.Errorf("the stop token %q cannot stand in a Modelfile", s)
		}
		b.WriteString(`PARAMETER stop "` + s + `"` + "\n")
	}
	return b.String(), nil
}
