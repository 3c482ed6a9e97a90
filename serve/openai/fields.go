package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"dlm"
)

// fields says what becomes of each field of a body.
type fields struct {
	use     []string            // read into the request
	ignore  []string            // cannot change the answer
	neutral map[string][]string // refused, but for null and these values
}

// neutralValues are fields of chat and plain completions alike that would change the
// answer and are not supported, with the values that ask for nothing.
var neutralValues = map[string][]string{
	"add_generation_prompt":         {"true"},
	"allowed_token_ids":             {"[]"},
	"bad_words":                     {"[]"},
	"best_of":                       {"1"},
	"cache_salt":                    {`""`},
	"chat_template":                 {},
	"chat_template_kwargs":          {"{}"},
	"continue_final_message":        {"false"},
	"documents":                     {"[]"},
	"guided_grammar":                {},
	"guided_whitespace_pattern":     {},
	"include_stop_str_in_output":    {"false"},
	"kv_transfer_params":            {},
	"length_penalty":                {"1", "1.0"},
	"logits_processors":             {"[]"},
	"mm_processor_kwargs":           {"{}"},
	"prompt_embeds":                 {},
	"return_token_ids":              {"false"},
	"return_tokens_as_token_ids":    {"false"},
	"skip_special_tokens":           {"true"},
	"spaces_between_special_tokens": {"true"},
	"truncate_prompt_tokens":        {},
	"use_beam_search":               {"false"},
	"vllm_xargs":                    {"{}"},
}

// ignored are fields of chat and plain completions alike that cannot change the answer.
var ignored = []string{"guided_decoding_backend", "metadata", "priority", "request_id", "service_tier", "store", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"}

// sampled are the fields that [Sampled] reads.
var sampled = []string{
	"model", "user", "stream", "stream_options", "n", "seed", "stop", "max_tokens", "temperature", "top_p", "top_k", "min_p",
	"repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias", "min_tokens", "ignore_eos", "stop_token_ids",
	"prompt_logprobs", "response_format", "guided_choice", "guided_regex", "guided_json", "structured_outputs",
}

// with returns f with more of each.
func (f fields) with(use, ignore []string, neutral map[string][]string) fields {
	g := fields{use: slices.Concat(f.use, use), ignore: slices.Concat(f.ignore, ignore), neutral: map[string][]string{}}
	for _, m := range []map[string][]string{f.neutral, neutral} {
		for k, v := range m {
			g.neutral[k] = v
		}
	}
	return g
}

var generating = fields{use: sampled, ignore: ignored, neutral: neutralValues}

// decode reads one JSON object into v after it has looked at its fields. Names are
// those of the wire to the letter; v's own are checked by the tests against f.
func (f fields) decode(body []byte, v any) error {
	if err := wellFormed(body); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&all); err != nil {
		return jsonError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refused("", "the body goes on after its JSON object; expected one object")
	}
	if all == nil {
		return refused("", "the body is null; expected a JSON object")
	}
	if name, more := twice(body); more {
		return refused(name, "%s stands in the body twice; which one counts is anybody's guess", quote(name))
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // the same refusal each time
	for _, name := range names {
		if err := f.check(name, all[name]); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(body, v); err != nil {
		return culprit(jsonError(err), names, all, v)
	}
	return nil
}

// culprit gives an error of decoding the name of its field: values that may have
// several shapes, or fields of their own, do not know where they stand.
func culprit(err error, names []string, all map[string]json.RawMessage, v any) error {
	for _, name := range names {
		one, e := json.Marshal(map[string]json.RawMessage{name: all[name]})
		if e == nil {
			e = json.Unmarshal(one, v)
		}
		if e == nil {
			continue
		}
		var f *dlm.Fault
		if errors.As(jsonError(e), &f) && !strings.HasPrefix(f.Param, name) {
			return dlm.Faultf(f.Kind, name, "%s: %s", name, strings.TrimPrefix(f.Error(), "body: "))
		}
		return jsonError(e)
	}
	return err
}

// check refuses a field that would have to be left out although it means something.
func (f fields) check(name string, value json.RawMessage) error {
	if slices.Contains(f.use, name) || slices.Contains(f.ignore, name) {
		return nil
	}
	neutral, known := f.neutral[name]
	if isNull(value) {
		return nil // it asks for nothing, whatever it is
	}
	if !known {
		return refused(name, "unknown field %s; it is refused because leaving it out might give another answer than asked for", quote(name))
	}
	var small bytes.Buffer
	if json.Compact(&small, value) != nil {
		return refused(name, "%s: invalid JSON", name)
	}
	if slices.Contains(neutral, small.String()) {
		return nil
	}
	if len(neutral) == 0 {
		return unsupported(name, "%s is not supported; leave it out", name)
	}
	return unsupported(name, "%s is not supported; leave it out or send %s", name, strings.Join(neutral, " or "))
}

// quote shortens what a client sent for an error.
func quote(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

// jsonError says what is wrong with a body without Go's names in it.
func jsonError(err error) error {
	var se *json.SyntaxError
	var te *json.UnmarshalTypeError
	switch {
	case errors.As(err, &te):
		field := strings.TrimPrefix(strings.TrimPrefix(te.Field, "Sampled."), "formats.") // Go's names of what is embedded
		return refused(field, "%s: a JSON %s where %s is expected", orBody(field), te.Value, wanted(te))
	case errors.As(err, &se):
		return refused("", "invalid JSON at byte %d: %s", se.Offset, strings.TrimPrefix(se.Error(), "json: "))
	case errors.Is(err, io.EOF):
		return refused("", "the body is empty; expected a JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refused("", "invalid JSON: the body ends too early")
	}
	return asFault(err)
}

func orBody(field string) string {
	if field == "" {
		return "body"
	}
	return field
}

// wanted names the JSON type that stands for a Go type.
func wanted(e *json.UnmarshalTypeError) string {
	t := e.Type
	switch k := t.Kind().String(); {
	case strings.HasPrefix(k, "int"):
		return "an integer of " + fmt.Sprint(t.Bits()) + " bits"
	case strings.HasPrefix(k, "uint"):
		return "an integer not below 0"
	case strings.HasPrefix(k, "float"):
		return "a number"
	case k == "bool":
		return "true or false"
	case k == "slice":
		return "a list"
	case k == "string":
		return "a string"
	}
	return "an object"
}
