#!/usr/bin/env python3
"""logits.json: the forward pass of the base in f32, and in f64 as the yardstick. usage: logits.py HF_DIR OUT_DIR"""
import torch

import base


def cases(tok):
    return [("chat", base.chat_prompt(tok, "What is the capital of France?"), "The capital of France is Paris.<|im_end|>"),
            ("raw", "The three laws of motion were formulated by", " Isaac Newton in 1687, and they describe how forces act on bodies."),
            ("code", "def fibonacci(n):\n    if n < 2:\n        return n\n", "    return fibonacci(n - 1) + fibonacci(n - 2)\n")]


def forward(m, prompt, completion):
    """Logits at the last prompt position, and the log-probability of each token of the completion."""
    with torch.no_grad():
        lg = m(torch.tensor([prompt + completion])).logits[0]
    lp = lg[len(prompt) - 1:-1].log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
    return lg[len(prompt) - 1], lp


def greedy(m32, m64, tok, prompt, n=32):
    """n greedy tokens and, at each, by how much the best beat the second (in f64): where that is tiny an engine may differ."""
    with torch.no_grad():
        g = m32.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=n, do_sample=False)[0, len(prompt):].tolist()
        two = m64(torch.tensor([prompt + g])).logits[0][len(prompt) - 1:-1].topk(2).values
    return {"greedy32_ids": g, "greedy32_text": tok.decode(g), "greedy32_margins_f64": (two[:, 0] - two[:, 1]).tolist()}


def main():
    hf, out = base.arguments()
    tok = base.tokenizer(hf)
    m32, m64 = base.model(hf), base.model(hf, torch.float64)
    res = []
    for name, p, c in cases(tok):
        pi, ci = tok(p).input_ids, tok(c).input_ids
        e = {"name": name, "prompt": p, "completion": c, "prompt_ids": pi, "completion_ids": ci}
        for tag, m in (("f32", m32), ("f64", m64)):
            last, lp = forward(m, pi, ci)
            if tag == "f32":
                e["top_ids"] = last.topk(64).indices.tolist()
            e[f"top_logits_{tag}"] = last[torch.tensor(e["top_ids"])].tolist()
            e[f"logsumexp_{tag}"] = last.logsumexp(-1).item()
            e[f"completion_logprobs_{tag}"] = lp.tolist()
            e[f"completion_logprob_sum_{tag}"] = lp.sum().item()
        e["max_abs_err_f32_vs_f64"] = max(abs(a - b) for a, b in zip(e["top_logits_f32"], e["top_logits_f64"]))
        e.update(greedy(m32, m64, tok, pi))
        res.append(e)
    base.write(f"{out}/logits.json", {"versions": base.versions("torch", "transformers"), "cases": res}, indent=0)


if __name__ == "__main__":
    main()
