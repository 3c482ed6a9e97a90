#!/usr/bin/env python3
"""PEFT folders both ways: PEFT writes and dlm reads, dlm writes and PEFT reads; the log-probabilities must be the same.

usage: check_adapters.py WORK_DIR TRAIN.jsonl (NAME DLM_BASE HF_DIR)...      env: DLM, TOLERANCE=1e-4 (f32, per token)

For each base: without adapter; with four adapters that PEFT made (all projections; rsLoRA on two of them; odd rank; rank and alpha
patterns), imported with `dlm adapters import`; with one that dlm trained for a few steps, with patterns too, and PEFT then loads,
every tensor of it. Both sides start from the same dequantised numbers; dlm computes in f32, PEFT in f64.
"""
import os
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from dlm import check, dlm, done, logprobs

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {"all": dict(r=8, lora_alpha=16, target_modules=MODULES), "rslora": dict(r=16, lora_alpha=16, target_modules=["q_proj", "v_proj"], use_rslora=True),
            "odd": dict(r=5, lora_alpha=7, target_modules=["o_proj", "down_proj", "k_proj"]),
            # PEFT sorts the patterns when it saves, so these are in that order: the first that matches wins.
            "patterns": dict(r=4, lora_alpha=8, target_modules=MODULES, use_rslora=True, rank_pattern={"(gate|up)_proj": 3, "^model.layers.0.self_attn.v_proj": 9,
                             r"layers\.1\..*_proj": 6, "q_proj": 2}, alpha_pattern={"0.self_attn.(k|v)_proj": 3, "down_proj": 12})}
PROMPT = "My policy number is 4471902 and the car is a 2017 Honda. Please file"
COMPLETION = " the claim before the end of the month: {\"intent\": \"reportclaim\"}"
CHAT = [{"role": "system", "content": "File the customer's message as one JSON record."}, {"role": "user", "content": "my name is Ada Byron and my claim number is 88310"}]
ANSWER = '{"intent": "checkclaimstatus", "name": "Ada Byron", "claimid": "88310"}'
PROJECT = """project: interop
base: {base}
data:
  train: {train}
  max_len: 256
  held_out: 0
train:
  rank: 4
  lr: 5e-3
  max_steps: 3
  batch_size: 4
  precision: f32
  rank_pattern: {{"layers.0.*_proj": 6, q_proj: 3, down_proj: 8}}
  alpha_pattern: {{v_proj: 5}}
"""
TOLERANCE = float(os.environ.get("TOLERANCE", "1e-4"))


def load(hf):
    return AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32, attn_implementation="eager").eval()


def torch_logps(m, prompt, completion):
    """By torch in f64, so that what differs is dlm's rounding alone."""
    with torch.no_grad():
        lp = m.double()(torch.tensor([prompt + completion]), use_cache=False).logits[0, len(prompt) - 1:-1].log_softmax(-1)
    return list(zip(completion, lp.gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()))


def same(name, ours, theirs):
    if [i for i, _ in ours] != [i for i, _ in theirs]:
        check(name, False, f"token ids differ: {ours} {theirs}")
        return
    worst = max(abs(a - b) for (_, a), (_, b) in zip(ours, theirs))
    check(name, worst <= TOLERANCE, f"largest difference {worst:.2e} over {len(ours)} tokens")


def compare(name, base, m, tok, work, adapter=None):
    p, c = (tok(s, add_special_tokens=False).input_ids for s in (PROMPT, COMPLETION))
    same(f"{name}, plain text", logprobs(base, COMPLETION, raw=PROMPT, adapter=adapter), torch_logps(m, p, c))
    p = tok(tok.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True), add_special_tokens=False).input_ids
    c = tok(ANSWER + tok.eos_token, add_special_tokens=False).input_ids
    same(f"{name}, conversation", logprobs(base, ANSWER, messages=CHAT, end_of_turn=True, adapter=adapter, tmp=work), torch_logps(m, p, c))


def peft_to_dlm(name, base, hf, tok, work):
    for kind, conf in ADAPTERS.items():
        torch.manual_seed(11)
        m = get_peft_model(load(hf), LoraConfig(task_type="CAUSAL_LM", **conf)).eval()
        with torch.no_grad():
            for n, p in m.named_parameters():
                if "lora_B" in n:
                    p.normal_(0, 0.02)
        src, dst = f"{work}/{name}-peft-{kind}", f"{work}/{name}-imported-{kind}"
        m.save_pretrained(src)
        dlm("adapters", "import", src, "--base", base, "--out", dst)
        compare(f"{name}: PEFT's adapter ({kind}) in dlm", base, m, tok, work, dst)


def dlm_to_peft(name, base, hf, tok, work, train):
    """A few steps of real training by dlm; the folder then goes to PEFT untouched."""
    project = f"{work}/{name}-project"
    os.makedirs(project, exist_ok=True)
    with open(f"{project}/dlm.yaml", "w") as f:
        f.write(PROJECT.format(base=os.path.abspath(base), train=os.path.abspath(train)))
    out = dlm("-C", project, "train", "sft")["folder"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PEFT warns of tensors that are missing or left over
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        m = PeftModel.from_pretrained(load(hf), out).eval()
    saved = load_file(f"{out}/adapter_model.safetensors")
    held = {n.replace(".default", ""): p for n, p in m.named_parameters() if "lora_" in n}
    check(f"{name}: PEFT binds every tensor that dlm wrote", set(saved) == set(held) and all(torch.equal(held[n], saved[n]) for n in saved), f"{len(saved)} tensors")
    check(f"{name}: dlm's adapter has learnt", any(t.abs().max() > 0 for n, t in saved.items() if "lora_B" in n))
    compare(f"{name}: dlm's adapter in PEFT", base, m, tok, work, out)


def main():
    work, train, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    os.makedirs(work, exist_ok=True)
    for name, base, hf in zip(rest[::3], rest[1::3], rest[2::3]):
        tok = AutoTokenizer.from_pretrained(hf)
        compare(f"{name}: base", base, load(hf), tok, work)
        for what, part in (("PEFT to dlm", lambda: peft_to_dlm(name, base, hf, tok, work)), ("dlm to PEFT", lambda: dlm_to_peft(name, base, hf, tok, work, train))):
            try:
                part()
            except Exception as e:  # one failing base must not hide the others
                check(f"{name}: {what}", False, f"{type(e).__name__}: {e}")
    done()


if __name__ == "__main__":
    main()
