"""Load on dlm serve with Locust: adapters mixed by Zipf's law, half of the requests streamed.

    pip install locust
    locust -f locustfile.py --headless -u 16 -r 4 -t 2m --host http://127.0.0.1:8080

Without --headless Locust serves its page at http://localhost:8089. Variables:

    DLM_API_KEY   key, if the server wants one
    MODELS        names, the most popular first (default: bank,claims,sql,abstracts)
    ZIPF          exponent: model k is asked for in proportion to 1/k^ZIPF (default: 1)
    MAX_TOKENS    of a completion (default: 64)
    RATE          requests a second of one user; with it the load is open loop as long as -u is large enough (default: closed loop)

Prompts are the adapters' golden sets, never trained on. A request fails where the status is not 200, the stream ends before [DONE],
there is no text, or the header X-Dlm-Model does not begin with the adapter that was asked for. Times are those of whole answers; "TTFT NAME" is
the time to the first text of a stream, as a line of its own.
"""
import json
import os
import random
import time

from locust import HttpUser, constant_throughput, events, task

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = {
    "bank": "../bank-support/data/quick-golden.jsonl",
    "claims": "../claims-desk/data/quick-golden.jsonl",
    "sql": "data/sql-golden.jsonl",
    "abstracts": "data/abstracts-golden.jsonl",
}
MODELS = os.environ.get("MODELS", ",".join(GOLDEN)).split(",")
WEIGHTS = [1 / (k + 1) ** float(os.environ.get("ZIPF", "1")) for k in range(len(MODELS))]
MAX_TOKENS = int(os.environ.get("MAX_TOKENS", "64"))


def prompts(model):
    """Conversations of the model's golden set; of another model, those of the first set."""
    with open(os.path.join(HERE, GOLDEN.get(model.split("@")[0], GOLDEN["bank"]))) as f:
        return [json.loads(line)["messages"] for line in f]


PROMPTS = {m: prompts(m) for m in MODELS}


class Caller(HttpUser):
    host = "http://127.0.0.1:8080"
    if os.environ.get("RATE"):
        wait_time = constant_throughput(float(os.environ["RATE"]))

    def on_start(self):
        if os.environ.get("DLM_API_KEY"):
            self.client.headers["Authorization"] = "Bearer " + os.environ["DLM_API_KEY"]

    def body(self, model, stream):
        return {"model": model, "messages": random.choice(PROMPTS[model]), "max_tokens": MAX_TOKENS, "temperature": 0, "stream": stream}

    @task
    def whole(self):
        model = random.choices(MODELS, WEIGHTS)[0]
        with self.client.post("/v1/chat/completions", json=self.body(model, False), name=model, catch_response=True) as r:
            if self.good(r, model) and not r.json()["choices"][0]["message"]["content"]:
                r.failure("no text")

    @task
    def streamed(self):
        model = random.choices(MODELS, WEIGHTS)[0]
        start, first, done = time.perf_counter(), None, False
        with self.client.post("/v1/chat/completions", json=self.body(model, True), name=model + " (stream)", stream=True, catch_response=True) as r:
            if not self.good(r, model):
                return
            for line in r.iter_lines():
                if not line.startswith(b"data: "):
                    continue
                if line == b"data: [DONE]":
                    done = True
                    break
                piece = json.loads(line[6:])
                if "error" in piece:
                    r.failure(piece["error"]["message"])
                    return
                if first is None and any(c["delta"].get("content") for c in piece["choices"]):
                    first = time.perf_counter()
            r.request_meta["response_time"] = (time.perf_counter() - start) * 1000  # Locust's own ends with the headers
            if not done:
                r.failure("the stream ended without [DONE]")
            elif first is None:
                r.failure("no text")
        if first is not None:
            events.request.fire(request_type="TTFT", name="TTFT " + model, response_time=(first - start) * 1000, response_length=0, exception=None, context={})

    @staticmethod
    def good(r, model):
        if r.status_code != 200:
            r.failure(f"status {r.status_code}: {r.text[:200]}")
            return False
        answered = r.headers.get("X-Dlm-Model", "")
        if answered.split("@")[0] != model.split("@")[0]:
            r.failure(f"asked for {model}, answered by {answered or 'nobody that says so'}")
            return False
        return True
