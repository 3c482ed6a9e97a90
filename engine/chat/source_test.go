package chat

import (
	"testing"
	"time"

	"github.com/ardanlabs/jinja"
)

func TestPrepare(t *testing.T) {
	const open, closed = "{% if true %}{{ dlm_generation_start }}{% endif %}", "{% if true %}{{ dlm_generation_end }}{% endif %}"
	for _, c := range []struct{ source, want string }{
		{"a {{ b }} {# {% generation %} #}", "a {{ b }} {# {% generation %} #}"},
		{"{% generation %}x{% endgeneration %}", open + "x" + closed},
		{"{%- generation -%}x{%-endgeneration%}", "{%- if true %}{{ dlm_generation_start }}{% endif -%}x{%- if true %}{{ dlm_generation_end }}{% endif %}"},
		{"{{ '{% generation %}' }}", "{{ '{% generation %}' }}"},
		{"{{ x|tojson }} tojson {{ x | tojson(indent=4) ~ 'a | tojson' ~ tojson }}", "{{ x|dlm_tojson }} tojson {{ x | dlm_tojson(indent=4) ~ 'a | tojson' ~ tojson }}"},
		{`{{ "\"| tojson" | tojson }}`, `{{ "\"| tojson" | dlm_tojson }}`},
	} {
		if got, _, err := prepare(c.source); err != nil || got != c.want {
			t.Errorf("prepare(%q) = %q, %v, want %q", c.source, got, err, c.want)
		}
	}
}

// Expected values are Python's json.dumps(value, ensure_ascii=False, ...).
func TestToJSON(t *testing.T) {
	inner := jinja.NewDict()
	inner.AsDict().Set("z", jinja.NewString("<é>&\u2028\"\\\n\x01"))
	inner.AsDict().Set("a", jinja.NewList([]jinja.Value{jinja.NewInt(1), jinja.NewFloat(2), jinja.NewFloat(1e-7), jinja.NewFloat(0.5), jinja.NewBool(true), jinja.None()}))
	inner.AsDict().Set("e", jinja.NewList(nil))
	for _, c := range []struct {
		kwargs map[string]jinja.Value
		want   string
	}{
		{nil, `{"z": "<é>&` + "\u2028" + `\"\\\n\u0001", "a": [1, 2.0, 1e-07, 0.5, true, null], "e": []}`},
		{map[string]jinja.Value{"indent": jinja.NewInt(2)}, "{\n  \"z\": \"<é>&\u2028\\\"\\\\\\n\\u0001\",\n  \"a\": [\n    1,\n    2.0,\n    1e-07,\n    0.5,\n    true,\n    null\n  ],\n  \"e\": []\n}"},
		{map[string]jinja.Value{"separators": jinja.NewList([]jinja.Value{jinja.NewString(","), jinja.NewString(":")}), "ensure_ascii": jinja.NewBool(false)},
			`{"z":"<é>&` + "\u2028" + `\"\\\n\u0001","a":[1,2.0,1e-07,0.5,true,null],"e":[]}`},
	} {
		got, err := toJSON([]jinja.Value{inner}, c.kwargs)
		if err != nil || got.AsString() != c.want {
			t.Errorf("tojson %v = %v, %v\nwant %s", c.kwargs, got, err, c.want)
		}
	}
	if _, err := toJSON([]jinja.Value{inner}, map[string]jinja.Value{"sort_keys": jinja.NewBool(true)}); err == nil {
		t.Error("sort_keys is not supported, but not refused")
	}
	if _, err := toJSON([]jinja.Value{jinja.Undefined()}, nil); err == nil {
		t.Error("an undefined value is not refused")
	}
}

func TestStrftime(t *testing.T) {
	day := time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC)
	for format, want := range map[string]string{
		"%d %b %Y": "04 Mar 2026", "%Y-%m-%d": "2026-03-04", "%A, %-d %B %y": "Wednesday, 4 March 26", "%H:%M:%S %p 100%%": "15:06:07 PM 100%",
	} {
		if got, err := strftime(day, format); err != nil || got != want {
			t.Errorf("%q = %q, %v, want %q", format, got, err, want)
		}
	}
	for _, format := range []string{"%Q", "%", "%-"} {
		if got, err := strftime(day, format); err == nil {
			t.Errorf("%q = %q, expected an error", format, got)
		}
	}
}
