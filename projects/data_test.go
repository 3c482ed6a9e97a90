// Package projects_test checks the data that the example projects ship: its
// shape, that no golden item stands in the training rows, and that licence and
// attribution lie beside it. It knows nothing of the life cycle.
package projects_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type line struct {
	ID       string    `json:"id"`
	Messages []message `json:"messages"`
	Target   string    `json:"target,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
	Cluster  string    `json:"cluster,omitempty"`
}

// files are the data files of each project and the rows that its README names.
var files = map[string]map[string]int{
	"claims-desk": {
		"train.jsonl": 1200, "train-more.jsonl": 1200, "held.jsonl": 100, "golden.jsonl": 200, "quick-train.jsonl": 400, "quick-golden.jsonl": 80,
		"planted.jsonl": 11, "shifted.jsonl": 200, "new_messages.jsonl": 6,
	},
	"bank-support": {
		"train.jsonl": 2310, "held.jsonl": 77, "golden.jsonl": 300, "quick-train.jsonl": 616, "quick-golden.jsonl": 77,
	},
}

func read(t *testing.T, project, name string) []line {
	t.Helper()
	f, err := os.Open(filepath.Join(project, "data", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []line
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%s/%s line %d: %v", project, name, len(out)+1, err)
		}
		out = append(out, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// normal is the form in which two messages count as the same.
func normal(s string) string {
	f := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), f), " ")
}

func user(l line) string {
	for _, m := range l.Messages {
		if m.Role == "user" {
			return normal(m.Content)
		}
	}
	return ""
}

// record checks that s is one JSON object that begins with its intent.
func record(t *testing.T, where, s string) {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Errorf("%s: %q: %v", where, s, err)
	}
	if !strings.HasPrefix(s, `{"intent": "`) || m["intent"] == "" {
		t.Errorf("%s: %q does not begin with an intent", where, s)
	}
}

func TestRowsHaveTheShapeThatTheReadmeNames(t *testing.T) {
	for project, names := range files {
		for name, want := range names {
			rows := read(t, project, name)
			if len(rows) != want {
				t.Errorf("%s/%s: %d rows, README names %d", project, name, len(rows), want)
			}
			ids := map[string]bool{}
			for i, r := range rows {
				where := project + "/" + name + " " + r.ID
				if r.ID == "" || ids[r.ID] {
					t.Errorf("%s row %d: id missing or twice", where, i+1)
				}
				ids[r.ID] = true
				if len(r.Messages) < 2 || r.Messages[0].Role != "system" || r.Messages[1].Role != "user" || user(r) == "" {
					t.Errorf("%s: expected a system and a user message", where)
					continue
				}
				switch {
				case strings.Contains(name, "golden"):
					record(t, where, r.Target)
					if len(r.Tags) == 0 || len(r.Messages) != 2 {
						t.Errorf("%s: no tags, or more than the prompt", where)
					}
				case name == "new_messages.jsonl" || r.ID == "planted-1":
				case len(r.Messages) != 3 || r.Messages[2].Role != "assistant":
					t.Errorf("%s: the third message is not the assistant's", where)
				default:
					record(t, where, r.Messages[2].Content)
				}
			}
		}
	}
}

func TestNoGoldenItemIsTrainedOn(t *testing.T) {
	for project, names := range files {
		golden := map[string]string{}
		for _, r := range read(t, project, "golden.jsonl") {
			if other := golden[user(r)]; other != "" {
				t.Errorf("%s: golden items %s and %s ask the same", project, other, r.ID)
			}
			golden[user(r)] = r.ID
		}
		for name := range names {
			if strings.Contains(name, "golden") {
				continue
			}
			for _, r := range read(t, project, name) {
				if id := golden[user(r)]; id != "" {
					t.Errorf("%s/%s: %s is golden item %s: %q", project, name, r.ID, id, user(r))
				}
			}
		}
	}
}

func TestQuickFilesAreTheBeginningOfTheFullOnes(t *testing.T) {
	for project := range files {
		for _, kind := range []string{"train", "golden"} {
			full, quick := read(t, project, kind+".jsonl"), read(t, project, "quick-"+kind+".jsonl")
			for i, r := range quick {
				if full[i].ID != r.ID {
					t.Fatalf("%s: row %d of quick-%s.jsonl is %s, of %s.jsonl %s", project, i+1, kind, r.ID, kind, full[i].ID)
				}
			}
		}
	}
}

func TestPlantedRowHasNothingToLearn(t *testing.T) {
	empty := 0
	for _, r := range read(t, "claims-desk", "planted.jsonl") {
		has := false
		for _, m := range r.Messages {
			has = has || m.Role == "assistant"
		}
		if !has {
			empty++
		}
	}
	if empty != 1 {
		t.Errorf("%d planted rows without an assistant's turn, expected 1", empty)
	}
}

func TestEveryBankIntentHasOneRoute(t *testing.T) {
	raw, err := os.ReadFile("bank-support/data/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var routes map[string][]string
	if err := json.Unmarshal(raw, &routes); err != nil {
		t.Fatal(err)
	}
	team := map[string]string{}
	for name, intents := range routes {
		for _, i := range intents {
			if team[i] != "" {
				t.Errorf("intent %s goes to %s and %s", i, team[i], name)
			}
			team[i] = name
		}
	}
	if len(team) != 77 {
		t.Errorf("%d intents have a route, banking77 has 77", len(team))
	}
	for _, name := range []string{"train.jsonl", "held.jsonl"} {
		for _, r := range read(t, "bank-support", name) {
			var rec struct{ Intent, Route string }
			if err := json.Unmarshal([]byte(r.Messages[2].Content), &rec); err != nil || team[rec.Intent] != rec.Route {
				t.Errorf("%s: %s: route %q, the table says %q (%v)", name, r.ID, rec.Route, team[rec.Intent], err)
			}
		}
	}
}

func TestLicenceAndAttributionLieBesideTheData(t *testing.T) {
	for project, words := range map[string][2]string{
		"claims-desk":  {"Community Data License Agreement – Permissive – Version 1.0", "baa30639c4b271f394b81443c842193407cdf26d"},
		"bank-support": {"Attribution 4.0 International", "57ec275d8078af65b7731c2a98be812d844a6d6b"},
	} {
		for i, name := range []string{"DATA_LICENSE", "ATTRIBUTION.md"} {
			raw, err := os.ReadFile(filepath.Join(project, "data", name))
			if err != nil {
				t.Error(err)
			} else if !strings.Contains(string(raw), words[i]) {
				t.Errorf("%s/data/%s does not hold %q", project, name, words[i])
			}
		}
	}
}
