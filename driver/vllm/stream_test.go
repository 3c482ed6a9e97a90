package vllm

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadEvents(t *testing.T) {
	var got []string
	collect := func(data []byte) error {
		got = append(got, string(data))
		return nil
	}
	if err := readEvents(strings.NewReader(": comment\n\nevent: x\ndata: {\"a\":1}\r\n\ndata:two\n\ndata: [DONE]\n\ndata: after\n"), collect); err != nil || strings.Join(got, "|") != `{"a":1}|two` {
		t.Errorf("read %q (%v)", got, err)
	}
	if err := readEvents(strings.NewReader("data: x\n\n"), collect); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream without its end: %v", err)
	}
}

func TestBusy(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "vllm:num_requests_running{engine=\"0\",model_name=\"base\"} 0.0\nvllm:other 3\n": false,
		"# HELP vllm:num_requests_running x\nvllm:num_requests_running{engine=\"0\"} 1.0\n": true, "vllm:num_requests_waiting{} 2.0\n": true,
	} {
		if busy(text) != want {
			t.Errorf("%q: busy is %v", text, !want)
		}
	}
}

func TestReason(t *testing.T) {
	for raw, want := range map[string]string{
		`{"error":{"message":"no room","code":400}}`: "no room",
		`{"error":"Unauthorized"}`:                   "Unauthorized",
		`{"detail":[{"msg":"bad"}]}`:                 `[{"msg":"bad"}]`,
		`{"detail":"Not Found"}`:                     "Not Found",
		`oops`:                                       "500: oops",
		``:                                           "500",
	} {
		if got := reason([]byte(raw), "500"); got != want {
			t.Errorf("%q: %q, expected %q", raw, got, want)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"token_ids\":[65],\"prompt_token_ids\":[1],\"logprobs\":{\"token_logprobs\":[-1]},\"finish_reason\":null}]}\n\ndata: [DONE]\n"))
	f.Add([]byte("data: {\"error\":{\"message\":\"x\"}}\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = readEvents(strings.NewReader(string(raw)), func(data []byte) error {
			c, err := parseChunk(data)
			if err != nil {
				return err
			}
			for _, ch := range c.Choices {
				if len(ch.TokenIDs) > 0 && len(ch.LogProbs.Tokens) != len(ch.TokenIDs) {
					t.Fatalf("%q: %d ids with %d log-probabilities", data, len(ch.TokenIDs), len(ch.LogProbs.Tokens))
				}
			}
			return nil
		})
	})
}
