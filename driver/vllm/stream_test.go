package vllm

import (
	"strings"
	"testing"

	"dlm/internal/remote"
	"dlm/internal/testkit"
)

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

func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {\"choices\":[{\"token_ids\":[65],\"prompt_token_ids\":[1],\"logprobs\":{\"token_logprobs\":[-1]},\"finish_reason\":null}]}\n\ndata: [DONE]\n"))
	f.Add([]byte("data: {\"error\":{\"message\":\"x\"}}\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = remote.Events(strings.NewReader(string(raw)), func(data []byte) error {
			c, err := parseChunk(data)
			if err != nil {
				return err
			}
			for _, ch := range c.Choices {
				if len(ch.TokenIDs) > 0 && len(ch.LogProbs.Tokens) != len(ch.TokenIDs) {
					t.Fatalf("%q: %d ids with %d log-probabilities", data, len(ch.TokenIDs), len(ch.LogProbs.Tokens))
				}
				for i := range ch.TokenIDs {
					if a, err := ch.LogProbs.alternatives(i, 2, testkit.ByteCodec{}); err == nil && len(a) > 2 {
						t.Fatalf("%q: %d alternatives of 2", data, len(a))
					}
				}
			}
			return nil
		})
	})
}
