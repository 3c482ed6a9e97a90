#!/usr/bin/env python3
"""An adapter through a Hub, both ways: dlm pushes and huggingface_hub downloads, huggingface_hub uploads and dlm pulls.

usage: check_hub.py WORK_DIR BASE_DIR       env: DLM, HF_ENDPOINT (a fake of the Hub), HF_TOKEN (of a user who may write to acme)

WORK_DIR/p is a dlm project with a trained adapter on BASE_DIR. Started by the Go test that runs the fake:
DLM_INTEROP=1 go test -run HuggingFaceClient ./cmd/dlm
"""
import filecmp
import os
import subprocess
import sys

import torch
from huggingface_hub import HfApi, ModelCard, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from dlm import DlmError, check, dlm, done, logprobs

PROMPT, COMPLETION = "Customer 7 asks claims about case 259", " claims"
work, base = sys.argv[1], sys.argv[2]
api = HfApi()


def said(*args, env=None):
    """What dlm writes to standard error when it fails."""
    p = subprocess.run([os.environ["DLM"], *args], capture_output=True, text=True, env={**os.environ, **(env or {})})
    return p.stderr if p.returncode else ""


def load():
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()


def same_logprobs(name, model, folder):
    tok = AutoTokenizer.from_pretrained(base)
    p, c = (tok(s, add_special_tokens=False).input_ids for s in (PROMPT, COMPLETION))
    with torch.no_grad():
        lp = model.double()(torch.tensor([p + c]), use_cache=False).logits[0, len(p) - 1:-1].log_softmax(-1)
    theirs = lp.gather(1, torch.tensor(c)[:, None])[:, 0].tolist()
    ours = logprobs(base, COMPLETION, raw=PROMPT, adapter=folder)
    worst = max(abs(a - b) for (_, a), b in zip(ours, theirs))
    check(name, [i for i, _ in ours] == c and worst <= 1e-4, f"largest difference {worst:.1e}")


def dlm_to_client():
    out = dlm("-C", f"{work}/p", "push", "hf:acme/desk", "p")
    check("dlm makes a private repository", out["private"] and out["created"] and api.repo_info("acme/desk").private)
    check("its commit is the head", api.repo_info("acme/desk").sha == out["commit"])
    path = snapshot_download("acme/desk")
    names = {f["path"] for f in out["files"]}
    check("the client gets every file", names <= set(os.listdir(path)), f"{len(names)} files")
    same_logprobs("PEFT loads what dlm pushed", PeftModel.from_pretrained(load(), path).eval(), path)
    AutoTokenizer.from_pretrained(path)
    card = ModelCard.load(f"{path}/README.md")
    check("the client reads the card", card.data.library_name == "peft" and "lora" in card.data.tags and card.data.eval_results[0].metric_value == 1.0,
          f"{len(card.data.eval_results)} metrics")
    sha = api.upload_folder(repo_id="acme/desk", folder_path=path, commit_message="the same").oid
    check("the client finds nothing to change in it", sha == out["commit"])
    check("dlm finds nothing to change either", dlm("-C", f"{work}/p", "push", "hf:acme/desk", "p")["unchanged"])


def client_to_dlm():
    torch.manual_seed(3)
    m = get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"])).eval()
    with torch.no_grad():
        for n, p in m.named_parameters():
            if "lora_B" in n:
                p.normal_(0, 0.02)
    src = f"{work}/theirs"
    m.save_pretrained(src)
    api.create_repo("acme/theirs", private=True)
    commit = api.upload_folder(repo_id="acme/theirs", folder_path=src).oid
    out = dlm("pull", "hf:acme/theirs")
    check("dlm pulls what the client uploaded", out["commit"] == commit and "base_digest" not in out, out["source"])
    _, wrong, missing = filecmp.cmpfiles(src, out["path"], ["adapter_config.json", "adapter_model.safetensors", "README.md"], shallow=False)
    check("byte for byte", not wrong and not missing)
    dlm("adapters", "import", "hf:acme/theirs", "--base", base, "--out", f"{work}/bound")
    same_logprobs("and computes what PEFT does", m, f"{work}/bound")


def everything_from_the_hub():
    """Base and adapter both come from the Hub: the client uploads the base, dlm pulls it and pushes an adapter on it, and PEFT
    finds the base by the adapter alone."""
    api.create_repo("acme/base", private=True)
    commit = api.upload_folder(repo_id="acme/base", folder_path=base, allow_patterns=["*.json", "*.safetensors", "*.jinja"]).oid
    pulled = dlm("pull", "hf:acme/base")
    check("dlm pulls the base that the client uploaded", f"acme/base at commit {commit[:12]}" in pulled["source"], pulled["digest"][:19])
    os.makedirs(f"{work}/h", exist_ok=True)
    with open(f"{work}/h/rows.jsonl", "w") as f:
        for i in range(24):
            f.write(f'{{"messages": [{{"role": "user", "content": "Question {i}"}}, {{"role": "assistant", "content": "claims"}}]}}\n')
    with open(f"{work}/h/dlm.yaml", "w") as f:
        f.write("project: hub\nbase: hf:acme/base\ndata: {train: rows.jsonl, held_out: 4, max_len: 64}\ntrain: {rank: 4, lr: 1e-2, max_steps: 3, batch_size: 4, precision: f32}\n")
    trained = dlm("-C", f"{work}/h", "train", "sft")
    out = dlm("-C", f"{work}/h", "push", "hf:acme/onhub", "hub")
    card = ModelCard(out["card"])
    check("the card names the base on the Hub", card.data.base_model == "acme/base", card.data.base_model)
    m = AutoPeftModelForCausalLM.from_pretrained("acme/onhub", dtype=torch.float32, attn_implementation="eager").eval()
    same_logprobs("PEFT finds the base by the adapter alone", m, trained["folder"])
    again = dlm("-C", f"{work}/h", "pull", "hf:acme/onhub")
    check("dlm knows its own adapter again", again["adapter"] == out["adapter"])


def reasons():
    """Both clients give the Hub's own words."""
    for name, token, repo, words in (("a wrong token", "hf_wrong", "acme/desk", "Invalid credentials in Authorization header"), ("no right to write", "hf_bob", "acme/desk2", "acme")):
        try:
            HfApi(token=token).create_repo(repo)
            theirs = ""
        except HfHubHTTPError as e:
            theirs = str(e)
        ours = said("-C", f"{work}/p", "push", f"hf:{repo}", "p", env={"HF_TOKEN": token})
        check(f"{name} is told", words in theirs and words in ours, ours.strip()[:200])


for part in (dlm_to_client, client_to_dlm, everything_from_the_hub, reasons):
    try:
        part()
    except (DlmError, HfHubHTTPError, OSError, ValueError, KeyError) as e:
        check(part.__name__, False, f"{type(e).__name__}: {e}")
done()
