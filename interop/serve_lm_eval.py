"""lm-evaluation-harness runs a log-likelihood task through /v1/completions, token ids in and echoed log-probabilities out; what it
adds up is what `dlm logprobs` gives, and its accuracy what follows from that. The task is made here: which of four intents a
message of projects/bank-support has.
usage: serve_lm_eval.py WORK BASE [MESSAGES]"""
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
import lm_eval
from dlm import check, done, logprobs
from gateway import ROOT, adapter, gateway
from lm_eval.tasks import TaskManager

TASK = """
task: dlm_intents
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "Message: {{text}}\\nIntent:"
doc_to_target: "{{label}}"
doc_to_choice: "{{choices}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def rows(n):
    """The first n messages of the golden set, each with its intent and three others."""
    golden = [json.loads(line) for line in open(ROOT / "projects/bank-support/data/golden.jsonl")]
    intents = sorted({json.loads(g["target"])["intent"] for g in golden})
    for i, g in enumerate(golden[:n]):
        right = json.loads(g["target"])["intent"]
        others = [x for x in intents if x != right]
        choices = sorted([right] + [others[(7 * i + k * 11) % len(others)] for k in range(3)])
        yield {"text": g["messages"][-1]["content"], "choices": choices, "label": choices.index(right)}


def evaluate(url, model, work, base):
    return lm_eval.simple_evaluate(
        model="local-completions", tasks=["dlm_intents"], task_manager=TaskManager(include_path=str(work)), log_samples=True, bootstrap_iters=0,
        model_args={"model": model, "base_url": url + "/v1/completions", "tokenizer": os.environ["HF"], "tokenizer_backend": "huggingface", "tokenized_requests": True, "num_concurrent": 4, "max_length": 1024},
    )


def compare(name, result, base, lora):
    samples = result["samples"]["dlm_intents"]
    worst, right = 0.0, 0
    for s in samples:
        doc, ours = s["doc"], []
        for choice, (theirs, _) in zip(doc["choices"], s["filtered_resps"]):
            own = sum(p for _, p in logprobs(base, " " + choice, raw=f"Message: {doc['text']}\nIntent:", adapter=lora, precision="bf16"))
            worst, ours = max(worst, abs(own - float(theirs))), ours + [own]
        right += ours.index(max(ours)) == doc["label"]
    acc = result["results"]["dlm_intents"]["acc,none"]
    check(f"{name}: log-likelihoods are dlm's own", worst < 1e-6, f"largest difference {worst:.2e} over {4 * len(samples)} choices")
    check(f"{name}: accuracy is what they say", abs(acc - right / len(samples)) < 1e-9, f"{acc:.4f}")


def main():
    work, base, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 6
    data = work / "intents.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows(n)))
    (work / "dlm_intents.yaml").write_text(TASK % json.dumps(str(data)))
    bank = adapter(base, work)
    with gateway(base, work, bank) as url:
        results = {model: evaluate(url, model, work, base) for model in ("base", "bank")}
    for model, lora in (("base", None), ("bank", bank)):
        compare(model, results[model], base, lora)
    print(f"lm_eval {version('lm_eval')}")
    done()


if __name__ == "__main__":
    main()
