"""Runs `dlm serve` for a check: the base (argument MODEL) and an adapter `bank` of random matrices."""
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from dlm import dlm

ROOT = Path(__file__).resolve().parent.parent


def adapter(base, work):
    """A PEFT folder of random matrices on q and v, of rank 4, imported."""
    import numpy
    from safetensors.numpy import save_file

    out = Path(work) / "bank"
    out.mkdir()
    config = json.loads((Path(os.environ["HF"]) / "config.json").read_text())
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    rows = {"q_proj": hidden, "v_proj": hidden // config["num_attention_heads"] * config["num_key_value_heads"]}
    draw = numpy.random.default_rng(3)
    tensors = {}
    for layer in range(layers):
        for name, n in rows.items():
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_"
            tensors[at + "A.weight"] = draw.normal(0, 0.05, (4, hidden)).astype("float32")
            tensors[at + "B.weight"] = draw.normal(0, 0.05, (n, 4)).astype("float32")
    save_file(tensors, out / "adapter_model.safetensors")
    (out / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": sorted(rows), "lora_dropout": 0.0, "bias": "none"}))
    return dlm("adapters", "import", out, "--base", base, "--out", Path(work) / "bank-bound")["folder"]


@contextlib.contextmanager
def gateway(base, work, lora=None):
    """Yields the address of a running gateway; it is told to end afterwards and must do so with exit code 0."""
    args = [os.environ["DLM"], "serve", "--base", base, "--base-name", "base", "--addr", "127.0.0.1:0", "--log", str(Path(work) / "access.log"), "--json"]
    if lora:
        args += ["--lora", f"bank={lora}"]
    p = subprocess.Popen(args, cwd=work, stdout=subprocess.PIPE, text=True)
    try:
        url = address(p)
        for _ in range(600):
            try:
                urllib.request.urlopen(url + "/readyz", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield url
        p.terminate()
        if p.wait(60):
            sys.exit(f"dlm serve ended with exit code {p.returncode}")
    finally:
        p.kill()


def address(p):
    """Reads the address from the object that the server says first."""
    said = ""
    for line in p.stdout:
        said += line
        with contextlib.suppress(ValueError):
            return json.loads(said)["url"]
    sys.exit(f"dlm serve ended without saying where it listens (exit code {p.wait()})")
