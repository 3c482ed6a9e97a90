package projects_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The READMEs show parts of what the demos printed. Each such part stands
// between two marks,
//
//	<!-- recorded: claims-desk gate -->
//	<!-- end -->
//
// and is taken from that project's expected_stdout.txt: -update writes it, and
// the test fails where it is another.
var recorded = regexp.MustCompile(`(?s)(<!-- recorded: ([a-z-]+) ([a-z]+) -->\n).*?(<!-- end -->)`)

// part is a range of lines: from the first that matches begin to the next that
// matches end, both included; begin is looked for below the line after.
type part struct{ after, begin, end string }

// parts are what a README can show.
var parts = map[string][]part{
	"plan":     {{`^\$ dlm doctor`, `^kernels \S+, \d+ threads`, `^measured`}},
	"refused":  {{`^\$ dlm data check data/planted`, `^refuse`, `^\(refused`}},
	"learning": {{`^\$ dlm train sft`, `^step +1/`, `^step +1/`}, {`^\$ dlm train sft`, `held-out loss`, `^ +-> .*$`}, {`^trained`, `^trained`, `^trained`}},
	"results":  {{`^\$ dlm eval.* --show`, `^arm `, `^percent with`}, {``, `against \S+ on record, `, `^difference`}},
	"gate":     {{`^\$ dlm gate`, `^gate: `, `^gate: `}, {`^A planted worse adapter`, `^\$ dlm gate`, `^\$ dlm gate`}, {`^planted-worse against`, `^gate: `, `^\(refused`}},
	"load":     {{`^5\. Load`, `^closed loop`, `^abstracts `}, {`^5\. Load`, `^open loop`, `^goodput`}},
	"moved":    {{`^7\. It becomes`, `^bank@prod -> `, `^goodput|^ +E2E`}, {`^7\. It becomes`, `^model `, `^bank `}},
	"served":   {{``, `^prod -> `, `^prod -> `}, {`^New messages`, `.`, `^$`}, {``, `^served `, `^served `}},
}

// excerpt cuts the ranges of a part out of an output.
func excerpt(text, name string) (string, error) {
	ps, ok := parts[name]
	if !ok {
		return "", fmt.Errorf("there is no part %q", name)
	}
	lines := strings.Split(text, "\n")
	find := func(from int, pattern string) int {
		re := regexp.MustCompile(pattern)
		for i := from; i < len(lines); i++ {
			if re.MatchString(lines[i]) {
				return i
			}
		}
		return -1
	}
	var out []string
	for _, p := range ps {
		at := 0
		if p.after != "" {
			at = find(0, p.after)
		}
		if at < 0 {
			return "", fmt.Errorf("part %s: no line %q", name, p.after)
		}
		begin := find(at, p.begin)
		if p.after != "" && begin == at && p.after != p.begin {
			begin = find(at+1, p.begin)
		}
		if begin < 0 {
			return "", fmt.Errorf("part %s: no line %q", name, p.begin)
		}
		end := find(begin, p.end)
		if end < 0 {
			return "", fmt.Errorf("part %s: no line %q", name, p.end)
		}
		if lines[end] == "" {
			end--
		}
		out = append(out, lines[begin:end+1]...)
	}
	return strings.Join(out, "\n"), nil
}

// TestReadmesShowWhatWasRecorded: their figures are those of expected_stdout.txt.
func TestReadmesShowWhatWasRecorded(t *testing.T) {
	for _, file := range []string{"../README.md", "claims-desk/README.md", "bank-support/README.md", "serving/README.md"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		found := 0
		now := recorded.ReplaceAllStringFunc(string(raw), func(block string) string {
			found++
			m := recorded.FindStringSubmatch(block)
			text, err := excerpt(expected(t, m[2]), m[3])
			if err != nil {
				t.Errorf("%s: %v", file, err)
				return block
			}
			return m[1] + "```\n" + text + "\n```\n" + m[4]
		})
		if found == 0 {
			t.Errorf("%s shows nothing that was recorded", file)
		}
		if now == string(raw) {
			continue
		}
		if *update != "" {
			if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
				t.Error(err)
			}
			continue
		}
		t.Errorf("%s does not show what expected_stdout.txt has: go test ./projects -run Recorded -update .", filepath.Clean(file))
	}
}
