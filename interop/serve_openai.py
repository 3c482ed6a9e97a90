"""The official OpenAI client for Python, unchanged, against `dlm serve`.
usage: serve_openai.py WORK BASE"""
import json
import re
import sys
import typing

import openai
import pydantic
from dlm import check, done
from gateway import adapter, gateway

ASK = [{"role": "user", "content": "I lost my card yesterday. What should I do?"}]


def chat(c):
    whole = c.chat.completions.create(model="base", messages=ASK, max_tokens=24, temperature=0, logprobs=True, top_logprobs=3)
    text = whole.choices[0].message.content
    told = whole.choices[0].logprobs.content
    check("chat", text and whole.usage.completion_tokens == len(told) and whole.choices[0].finish_reason in ("stop", "length"), text[:60])
    check("alternatives", all(len(t.top_logprobs) == 3 and t.top_logprobs[0].token == t.token for t in told), "greedy chooses the likeliest")
    check("bytes of tokens spell the answer", bytes(b for t in told for b in t.bytes).decode().startswith(text))
    streamed, usage = "", None
    for event in c.chat.completions.create(model="base", messages=ASK, max_tokens=24, temperature=0, stream=True, stream_options={"include_usage": True}):
        usage = event.usage or usage
        if event.choices and event.choices[0].delta.content:
            streamed += event.choices[0].delta.content
    check("a stream is the whole", streamed == text and usage.total_tokens == whole.usage.total_tokens)
    with c.chat.completions.stream(model="base", messages=ASK, max_tokens=24, temperature=0) as s:
        final = "".join(e.delta for e in s if e.type == "content.delta")
    check("the client's stream helper", final == text)
    several = [ch.message.content for ch in c.chat.completions.create(model="base", messages=ASK, max_tokens=12, temperature=1, seed=7, n=3).choices]
    again = [ch.message.content for ch in c.chat.completions.create(model="base", messages=ASK, max_tokens=12, temperature=1, seed=7, n=3).choices]
    check("n and seed", several == again and len(set(several)) > 1)
    bank = c.chat.completions.with_raw_response.create(model="bank", messages=ASK, max_tokens=24, temperature=0)
    check("an adapter by its name", bank.headers["x-dlm-model"].startswith("bank") and bank.parse().choices[0].message.content != text, bank.headers["x-dlm-adapter"][:20])
    parts = c.chat.completions.create(model="base", messages=[{"role": "user", "content": [{"type": "text", "text": ASK[0]["content"]}]}], max_tokens=24, temperature=0)
    check("content in parts", parts.choices[0].message.content == text)


class Message(pydantic.BaseModel):
    kind: typing.Literal["card", "loan"]
    urgent: bool


def formats(c):
    m = c.chat.completions.parse(model="base", messages=ASK, max_tokens=100, temperature=0, response_format=Message).choices[0].message
    check("parse into a pydantic model", isinstance(m.parsed, Message), m.content)
    schema = {"name": "m", "strict": True, "schema": {"type": "object", "properties": {"kind": {"enum": ["card", "loan"]}, "urgent": {"type": "boolean"}}, "required": ["kind", "urgent"], "additionalProperties": False}}
    for seed in range(4):
        r = c.chat.completions.create(model="base", messages=ASK, max_tokens=60, seed=seed, response_format={"type": "json_schema", "json_schema": schema})
        got = json.loads(r.choices[0].message.content)
        if set(got) != {"kind", "urgent"} or got["kind"] not in ("card", "loan") or not isinstance(got["urgent"], bool):
            break
    else:
        seed = 4
    check("a JSON schema, drawn", seed == 4, got)
    r = c.chat.completions.create(model="base", messages=ASK, max_tokens=60, extra_body={"guided_choice": ["card_lost", "other"]})
    check("vLLM's guided_choice", r.choices[0].message.content in ("card_lost", "other"), r.choices[0].message.content)
    r = c.chat.completions.create(model="base", messages=ASK, max_tokens=60, extra_body={"guided_regex": "[A-Z]{2}-[0-9]{3}"})
    check("vLLM's guided_regex", re.fullmatch("[A-Z]{2}-[0-9]{3}", r.choices[0].message.content), r.choices[0].message.content)
    r = c.chat.completions.create(model="base", messages=ASK, max_tokens=200, temperature=0, response_format={"type": "json_object"})
    ok = r.choices[0].finish_reason == "length" or isinstance(json.loads(r.choices[0].message.content), dict)
    check("a JSON object", ok, r.choices[0].message.content[:60])


def completions(c):
    r = c.completions.create(model="base", prompt=["Once upon", "The capital of"], max_tokens=5, temperature=0, echo=True, logprobs=2)
    first = r.choices[0]
    check("completions of two prompts with echo", len(r.choices) == 2 and first.text.startswith("Once upon") and first.logprobs.token_logprobs[0] is None and all(v <= 0 for v in first.logprobs.token_logprobs[1:]))
    check("offsets", all(first.text[o:].startswith(t) for o, t in zip(first.logprobs.text_offset, first.logprobs.tokens)))
    streamed = "".join(e.choices[0].text for e in c.completions.create(model="base", prompt="Once upon", max_tokens=5, temperature=0, stream=True) if e.choices)
    check("a stream of completions", "Once upon" + streamed == first.text, streamed)
    stopped = c.completions.create(model="base", prompt="Once upon", max_tokens=20, temperature=0, stop=["group"])
    check("stop", stopped.choices[0].text and "group" not in stopped.choices[0].text and stopped.choices[0].finish_reason == "stop", stopped.choices[0].text)


def refusals(c, url):
    def refused(name, kind, f, status):
        try:
            f()
            check(name, False, "it was answered")
        except kind as e:
            check(name, getattr(e, "status_code", status) == status, str(e)[:120])

    refused("an unknown model", openai.NotFoundError, lambda: c.chat.completions.create(model="bnak", messages=ASK), 404)
    refused("a temperature below zero", openai.BadRequestError, lambda: c.chat.completions.create(model="base", messages=ASK, temperature=-1), 400)
    refused("tools", openai.BadRequestError, lambda: c.chat.completions.create(model="base", messages=ASK, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]), 400)
    refused("a prompt that is too long", openai.BadRequestError, lambda: c.completions.create(model="base", prompt="long " * 20000, max_tokens=1), 400)
    refused("too many choices", openai.BadRequestError, lambda: c.chat.completions.create(model="base", messages=ASK, n=10**6), 400)
    refused("embeddings of a model that makes none", openai.BadRequestError, lambda: c.embeddings.create(model="base", input="hello"), 400)
    refused("nobody there", openai.APIConnectionError, lambda: openai.OpenAI(base_url="http://127.0.0.1:1/v1", api_key="x", max_retries=0).models.list(), None)


def main():
    work, base = sys.argv[1:3]
    bank = adapter(base, work)
    with gateway(base, work, bank) as url:
        c = openai.OpenAI(base_url=url + "/v1", api_key="unused", max_retries=0)
        listed = {m.id: m for m in c.models.list()}
        check("models", set(listed) == {"base", "bank"} and listed["bank"].parent == "base", sorted(listed))
        check("one model", c.models.retrieve("bank").id == "bank")
        chat(c)
        formats(c)
        completions(c)
        refusals(c, url)
    print(f"openai {openai.__version__}")
    done()


if __name__ == "__main__":
    main()
