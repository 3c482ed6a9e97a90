package testkit

import (
	"cmp"
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dlm"
)

// GeneratorOptions say what the generator under test can do.
type GeneratorOptions struct {
	Adapters []string // adapter folders or names that it can serve; may be empty
	Exact    bool     // log-probabilities do not depend on neighbours to the last bit
	// Tolerance is by how much a log-probability may depend on neighbours, when not
	// Exact; 0 = 0.01. Answers may then part where two tokens are about as likely.
	Tolerance float64
	Codec     dlm.Codec // of the base, for requests and checks by token ids; nil = none are made

	// Refuses names the fields of OpenAI's requests, and of vLLM's beyond them, that
	// the generator refuses, each with a fault of FaultUnsupported that names it.
	Refuses []string
	// Silent says that tokens have neither ids (-1) nor log-probabilities (0).
	Silent bool
}

// can says whether the generator takes a field. One that it does not take must
// be refused as its options say.
func (o GeneratorOptions) can(t *testing.T, g dlm.Generator, field string, r dlm.GenerateRequest) bool {
	t.Helper()
	if !slices.Contains(o.Refuses, field) {
		return true
	}
	_, err := g.Generate(context.Background(), []dlm.GenerateRequest{r}, nil)
	var f *dlm.Fault
	if !errors.As(err, &f) || f.Kind != dlm.FaultUnsupported || f.Param != field {
		t.Errorf("%s should be refused as unsupported: error %v", field, err)
	}
	return false
}

// far says whether two log-probabilities of one token are not the same to the
// generator under test.
func (o GeneratorOptions) far(a, b float64) bool {
	d := math.Abs(a - b)
	if o.Exact {
		return d != 0
	}
	return d > cmp.Or(o.Tolerance, 1e-2)
}

// parted says whether two answers may differ from token j on: the generator is
// not exact, and what each chose there is about as likely, or was drawn.
func (o GeneratorOptions) parted(a, b []dlm.Token, j int, s dlm.Sampling) bool {
	if o.Exact || j >= len(a) || j >= len(b) {
		return false
	}
	return s.Temperature > 0 || !o.far(a[j].LogProb, b[j].LogProb)
}

// prompts are of different lengths, so that a batch of them is ragged.
var prompts = []string{
	"Hello",
	"I lost my card yesterday, what should I do now?",
	"My policy number is 4711-08.\nPlease file a claim for the blue van that was hit in the parking lot on Monday, and tell me what papers you need from me.",
	"Ümläute, 漢字 and 😀!",
	"yes",
}

func ask(content string, s dlm.Sampling) dlm.GenerateRequest {
	return dlm.GenerateRequest{Messages: []dlm.Message{{Role: "user", Content: content}}, Sampling: s}
}

// cases runs parts of the suite.
func cases(t *testing.T, g dlm.Generator, o GeneratorOptions, cs []generatorCase) {
	for _, c := range cs {
		t.Run(c.name, func(t *testing.T) { c.test(t, g, o) })
	}
}

type generatorCase struct {
	name string
	test func(*testing.T, dlm.Generator, GeneratorOptions)
}

// Generator is the conformance suite of dlm.Generator: what it answers.
// GeneratorCalls and GeneratorFields are the rest of it.
func Generator(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	cases(t, g, o, []generatorCase{
		{"no requests, no answers", generateNothing},
		{"a batch answers as each alone", generateAlone},
		{"what is emitted is what is returned", generateEmits},
		{"max tokens", generateMaxTokens},
		{"stop strings", generateStops},
		{"seeds", generateSeeds},
		{"plain text", generateRaw},
		{"cancelling", generateCancel},
		{"refusals name the field and the request", generateRefuses},
	})
}

// GeneratorCalls is the suite of a generator that is called from several
// goroutines.
func GeneratorCalls(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	cases(t, g, o, []generatorCase{
		{"calls side by side", generateConcurrent},
		{"cancelling one of several calls", generateCancelOne},
		{"a slow reader holds up nobody", generateSlowReader},
		{"emit's contract", generateEmitContract},
	})
}

// GeneratorFields is the suite of all that a request may ask besides: each field
// does what it says, or is refused as unsupported.
func GeneratorFields(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	cases(t, g, o, []generatorCase{
		{"sequences", generateSequences},
		{"token ids", generateIDs},
		{"alternatives", generateTop},
		{"log-probabilities of the prompt", generatePrompt},
		{"bias", generateBias},
		{"penalties", generatePenalties},
		{"stop tokens", generateStopIDs},
		{"tokens that end a turn", generateEnds},
		{"formats", generateFormats},
		{"refusals are faults", generateFaults},
	})
}

func generate(t *testing.T, g dlm.Generator, reqs ...dlm.GenerateRequest) []dlm.Completion {
	t.Helper()
	out, err := g.Generate(context.Background(), reqs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(reqs) {
		t.Fatalf("%d completions for %d requests", len(out), len(reqs))
	}
	return out
}

func generateNothing(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	generate(t, g)
}

// generateAlone mixes prompts, adapters and sampling in one batch.
func generateAlone(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	var reqs []dlm.GenerateRequest
	for i, p := range prompts {
		s := dlm.Sampling{MaxTokens: 5 + 3*i}
		if i%2 == 1 {
			s.Temperature, s.TopP, s.Seed = 0.9, 0.95, uint64(i)
			if !slices.Contains(o.Refuses, "repetition_penalty") {
				s.RepetitionPenalty = 1.1
			}
		}
		for _, a := range append([]string{""}, o.Adapters...) {
			r := ask(p, s)
			r.Adapter = a
			reqs = append(reqs, r)
		}
	}
	together := generate(t, g, reqs...)
	slices.Reverse(reqs)
	for i, r := range reqs {
		alone, batched := generate(t, g, r)[0], together[len(reqs)-1-i]
		same := 0
		for same < min(len(alone.Tokens), len(batched.Tokens)) && alone.Tokens[same].ID == batched.Tokens[same].ID && alone.Tokens[same].Text == batched.Tokens[same].Text {
			same++
		}
		if o.parted(alone.Tokens, batched.Tokens, same, r.Sampling) {
			alone.Tokens, batched.Tokens = alone.Tokens[:same], batched.Tokens[:same]
		} else if alone.Text != batched.Text || alone.Finish != batched.Finish || len(alone.Tokens) != len(batched.Tokens) {
			t.Errorf("%q, adapter %q: alone %q (%s), in a batch %q (%s)", r.Messages[0].Content, r.Adapter, alone.Text, alone.Finish, batched.Text, batched.Finish)
			continue
		}
		for j, tok := range alone.Tokens {
			other := batched.Tokens[j]
			if tok.Text != other.Text || o.far(tok.LogProb, other.LogProb) {
				t.Errorf("%q, adapter %q, token %d: alone %+v, in a batch %+v", r.Messages[0].Content, r.Adapter, j, tok, other)
				break
			}
		}
	}
}

func generateEmits(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	var reqs []dlm.GenerateRequest
	for _, p := range prompts {
		reqs = append(reqs, ask(p, dlm.Sampling{MaxTokens: 12}))
	}
	emitted := make([][]dlm.Token, len(reqs))
	out, err := g.Generate(context.Background(), reqs, func(i int, tok dlm.Token) {
		emitted[i] = append(emitted[i], tok)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range out {
		text := ""
		for _, tok := range emitted[i] {
			text += tok.Text
			if !utf8.ValidString(tok.Text) {
				t.Errorf("request %d emitted %q, which is not whole characters", i, tok.Text)
			}
			if tok.LogProb > 0 || math.IsNaN(tok.LogProb) {
				t.Errorf("request %d emitted log-probability %v", i, tok.LogProb)
			}
		}
		if text != c.Text {
			t.Errorf("request %d: emitted %q, returned %q", i, text, c.Text)
		}
		if !reflect.DeepEqual(emitted[i], c.Tokens) {
			t.Errorf("request %d: emitted %v, returned %v", i, emitted[i], c.Tokens)
		}
		if c.PromptTokens <= 0 || c.Latency <= 0 {
			t.Errorf("request %d: %d prompt tokens, latency %v", i, c.PromptTokens, c.Latency)
		}
	}
}

func generateMaxTokens(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	long := generate(t, g, ask(prompts[0], dlm.Sampling{MaxTokens: 8}))[0]
	for n := 1; n < len(long.Tokens); n++ {
		c := generate(t, g, ask(prompts[0], dlm.Sampling{MaxTokens: n}))[0]
		if len(c.Tokens) != n || c.Finish != "length" {
			t.Fatalf("max_tokens %d gave %d tokens, finish %q", n, len(c.Tokens), c.Finish)
		}
		for i := range c.Tokens {
			if c.Tokens[i].ID != long.Tokens[i].ID {
				t.Fatalf("max_tokens %d gave another token at %d than max_tokens 8", n, i)
			}
		}
	}
}

// generateStops takes a greedy answer and asks again with a piece of it as stop string.
func generateStops(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	checked := 0
	for _, p := range prompts {
		whole := generate(t, g, ask(p, dlm.Sampling{MaxTokens: 16}))[0]
		stop := stopIn(whole.Text)
		if stop == "" {
			continue
		}
		checked++
		r := ask(p, dlm.Sampling{MaxTokens: 16, Stop: []string{"never in a text \x01", stop}})
		shown := ""
		out, err := g.Generate(context.Background(), []dlm.GenerateRequest{r}, func(_ int, tok dlm.Token) { shown += tok.Text })
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(whole.Text, stop)
		if out[0].Text != before || out[0].Finish != "stop" || shown != before {
			t.Errorf("stop string %q of %q: text %q, shown %q, finish %q; expected %q", stop, whole.Text, out[0].Text, shown, out[0].Finish, before)
		}
	}
	if checked == 0 {
		t.Error("no answer holds two whole characters side by side")
	}
}

// stopIn returns two characters that stand side by side in the text, from its
// middle on if possible. U+FFFD is none: it stands for bytes that are no character.
func stopIn(text string) string {
	runes := []rune(text)
	for k := range runes {
		if i := (k + len(runes)/2) % len(runes); i+1 < len(runes) && runes[i] != utf8.RuneError && runes[i+1] != utf8.RuneError {
			return string(runes[i : i+2])
		}
	}
	return ""
}

func generateSeeds(t *testing.T, g dlm.Generator, o GeneratorOptions) {
	s := dlm.Sampling{MaxTokens: 12, Temperature: 1}
	texts := map[string]bool{}
	for seed := range uint64(6) {
		s.Seed = seed
		a := generate(t, g, ask(prompts[1], s))[0]
		o.same(t, ask(prompts[1], s), a, generate(t, g, ask(prompts[1], s))[0])
		texts[a.Text] = true
	}
	if len(texts) < 2 {
		t.Errorf("six seeds at temperature 1 all gave the same text")
	}
}

func generateRaw(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	c := generate(t, g, dlm.GenerateRequest{Raw: "Once upon a time", Sampling: dlm.Sampling{MaxTokens: 4}})[0]
	if len(c.Tokens) == 0 || c.PromptTokens == 0 {
		t.Errorf("plain text gave %+v", c)
	}
}

func generateCancel(t *testing.T, g dlm.Generator, _ GeneratorOptions) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := 0
	_, err := g.Generate(ctx, []dlm.GenerateRequest{ask(prompts[1], dlm.Sampling{MaxTokens: 200, Temperature: 1}), ask(prompts[0], dlm.Sampling{MaxTokens: 200, Temperature: 1})},
		func(int, dlm.Token) {
			if seen++; seen == 3 {
				cancel()
			}
		})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled after three tokens: error %v", err)
	}
	if seen > 20 {
		t.Errorf("%d tokens were emitted after cancelling", seen-3)
	}
	generate(t, g, ask(prompts[0], dlm.Sampling{MaxTokens: 2})) // still works
}
