package openai

import (
	"encoding/json"
	"testing"

	"dlm"
)

// What is decoded is within its bounds, and what is not is refused as the client's
// fault: nothing else may come of bytes from outside.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"n":2,"logit_bias":{"1":2}}`,
		`{"model":"m","prompt":[[1,2],[3]],"echo":true,"logprobs":1,"max_tokens":0}`,
		`{"model":"m","prompt":"x","response_format":{"type":"json_schema","json_schema":{"schema":{}}}}`,
		`{"model":"m","input":[1,2],"encoding_format":"base64"}`,
		`{"model":"m","tokens":[1]}`, `{"lora_name":"a","lora_path":"b"}`, `[]`, `null`, `{"messages":[{"content":[{"type":"text","text":"x"}]}]}`,
		`{"structured_outputs":{"choice":["a"]},"stop":["x"],"seed":-1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(err error) bool {
			if err == nil {
				return true
			}
			if k := dlm.FaultOf(err); k != dlm.FaultRequest && k != dlm.FaultUnsupported {
				t.Fatalf("%q: %v is nobody's fault", b, err)
			}
			if _, e := json.Marshal(ErrorOf(err, "id")); e != nil {
				t.Fatal(e)
			}
			return false
		}
		bounded := func(reqs []dlm.GenerateRequest, err error) {
			if !check(err) {
				return
			}
			if len(reqs) == 0 || len(reqs) > MaxPrompts {
				t.Fatalf("%q asks for %d completions", b, len(reqs))
			}
			for _, r := range reqs {
				if err := r.Sampling.Validate(); err != nil {
					t.Fatalf("%q: %v", b, err)
				}
			}
		}
		if r, err := DecodeChat(b); check(err) {
			bounded(r.Generate("system"))
		}
		if r, err := DecodeCompletion(b); check(err) {
			bounded(r.Generate())
		}
		_, err := DecodeEmbeddings(b)
		check(err)
		if r, err := DecodeTokenize(b); check(err) {
			_, err = r.Conversation("")
			check(err)
		}
		_, err = DecodeDetokenize(b)
		check(err)
		_, err = DecodeLoad(b)
		check(err)
		_, err = DecodeUnload(b)
		check(err)
	})
}
