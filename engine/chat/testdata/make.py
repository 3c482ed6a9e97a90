#!/usr/bin/env python3
"""Makes templates.json: what Hugging Face's template environment renders.

usage: make.py    needs: pip install transformers==5.23.0 jinja2

Renders each template of templates/ with each conversation below through
transformers' render_jinja_template; `generation` holds the character spans of
generation blocks (None without). An exception is kept as its message.
"""
import datetime, json, pathlib
import jinja2, transformers
from transformers.utils import chat_template_utils



class Fixed(datetime.datetime):
    """A clock that stands still, for strftime_now."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 24)


chat_template_utils.datetime = Fixed
HERE = pathlib.Path(__file__).parent
U, A, S = (lambda c: {"role": "user", "content": c}), (lambda c: {"role": "assistant", "content": c}), (lambda c: {"role": "system", "content": c})
CONVERSATIONS = [
    [U("Hi")], [U("Hi"), A("Hello!")], [S("Be brief."), U("Hi"), A("Hello!"), U("More"), A("  Sure.\n")],
    [U(" a \n"), A("\n\nb"), U("c"), A("")], [U("é日本 😀"), A("<b>&\"'\u2028\\</b>\t1")], [A("first"), U("second")],
    [U("q"), A("<think>\nhm\n</think>\n\nanswer"), U("again"), A("<think>x</think>yes")],
    [U("q"), {"role": "tool", "content": "{\"x\": \"<é>&\u2028\x01\"}"}, A("ok")], [U("{{ 1 }} {% if %} {# c #}"), A("{% generation %}")],
    [S(""), U(""), A("")], [U("a"), U("b"), A("c")],
]
VARS = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
out = []
for path in sorted((HERE / "templates").glob("*.jinja")):
    source = path.read_text()
    for conv in CONVERSATIONS:
        row = {"template": path.name, "messages": conv}
        for gen in (False, True):
            key = "text_gen" if gen else "text"
            try:
                has = "{%- generation" in source or "{% generation" in source
                kw = dict(VARS)
                texts, spans = chat_template_utils.render_jinja_template(
                    conversations=[conv], chat_template=source, add_generation_prompt=gen, return_assistant_tokens_mask=has, **kw)
                row[key] = texts[0]
                if has and not gen:
                    row["generation"] = [[len(texts[0][:a].encode()), len(texts[0][:b].encode())] for a, b in spans[0]]
            except jinja2.exceptions.TemplateError as e:
                row[key + "_error"] = str(e)
        out.append(row)
(HERE / "templates.json").write_text(json.dumps(
    {"versions": {"transformers": transformers.__version__, "jinja2": jinja2.__version__}, "vars": {**VARS, "now": "2026-11-24"}, "cases": out}, ensure_ascii=True, indent=1) + "\n")
print(len(out))
