package serve

import (
	"testing"
)

const helloChat = `{"model":"bank","messages":[{"role":"user","content":"hi"}],"seed":7}`

func TestChatAnswers(t *testing.T) {
	p := newPlace(t, nil)
	status, h, body := p.ask(t, "/v1/chat/completions", helloChat)
	if status != 200 {
		t.Fatal(status, body)
	}
	v := tree(t, body)
	choice := v["choices"].([]any)[0].(map[string]any)
	if got := choice["message"].(map[string]any)["content"]; got != "hello" || choice["finish_reason"] != "stop" {
		t.Fatal(body)
	}
	for name, want := range map[string]string{
		"X-Dlm-Model": "bank@prod", "X-Dlm-Adapter": string(fakeAdapter), "X-Dlm-Base": string(fakeBase),
		"X-Dlm-Template": "tmpl", "X-Dlm-Engine": "fake", "X-Dlm-Seed": "7", "Content-Type": "application/json",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, expected %q", name, h.Get(name), want)
		}
	}
}
