"""Writes measured.json: what the libraries themselves say of memory, for vram_test.go.

saved   bytes that autograd keeps of a forward pass, counted with saved-tensor hooks
nf4     bytes of a matrix quantised by bitsandbytes, with double quantisation
params  parameters of whole bases and of their adapters, counted on the meta device

Needs torch, transformers, peft and bitsandbytes; no GPU. usage: python measure.py > measured.json
The sizes of the two bases are those of their config.json on the Hugging Face Hub
(Qwen/Qwen2.5-7B-Instruct, Apache-2.0; meta-llama/Llama-3.1-8B-Instruct, Llama 3.1 licence).
"""
import json
import warnings

import bitsandbytes
import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMALL = dict(hidden_size=256, intermediate_size=640, num_attention_heads=8, num_key_value_heads=2, vocab_size=512)


def saved(layers, precision, dropout, again, rank=16, rows=2, tokens=128, targets=ALL):
    """Bytes kept by the backbone's forward pass, without parameters and buffers."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    base = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, tie_word_embeddings=False, **SMALL)).to(dtype)
    model = get_peft_model(base, LoraConfig(r=rank, lora_alpha=32, lora_dropout=dropout, target_modules=targets))
    model.train()
    if again:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    known = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    kept = {}

    def pack(t):
        storage = t.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = (storage.nbytes(), t)  # t: so that no other gets its address
        return t

    ids = torch.randint(0, 512, (rows, tokens))
    mask = torch.ones(rows, tokens, dtype=torch.long)
    mask[0, :10] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        model.base_model.model.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(n for n, _ in kept.values())


def nf4(rows, cols):
    _, state = bitsandbytes.functional.quantize_4bit(torch.randn(rows, cols, dtype=torch.bfloat16), quant_type="nf4", compress_statistics=True)
    codes, _ = bitsandbytes.functional.quantize_4bit(torch.randn(rows, cols, dtype=torch.bfloat16), quant_type="nf4", compress_statistics=True)
    size = lambda t: t.numel() * t.element_size()
    return size(codes) + size(state.absmax) + size(state.code) + size(state.offset) + size(state.state2.absmax) + size(state.state2.code)


def params(cls, config, rank):
    with torch.device("meta"):
        base = cls(config)
        n = base.num_parameters()
        model = get_peft_model(base, LoraConfig(r=rank, target_modules=ALL))
    return {"config": config.to_dict() | {"torch_dtype": None}, "rank": rank, "base": n, "adapter": sum(p.numel() for p in model.parameters() if p.requires_grad)}


out = {"versions": {m.__name__: m.__version__ for m in (torch, transformers, peft, bitsandbytes)}, "config": SMALL | {"model_type": "llama", "num_hidden_layers": 2}, "saved": [], "nf4": [], "params": []}
for precision in ("bf16", "f32"):
    for dropout in (0.0, 0.05):
        for again in (False, True):
            for targets in (ALL, ["q_proj", "v_proj"]):
                two, three = (saved(n, precision, dropout, again, targets=targets) for n in (2, 3))
                out["saved"].append({"precision": precision, "dropout": dropout, "checkpointing": again, "targets": targets, "rank": 16, "rows": 2, "tokens": 128, "layer_bytes": three - two})
for rows, cols in ((64, 64), (640, 256), (2048, 8192)):
    out["nf4"].append({"out": rows, "in": cols, "bytes": nf4(rows, cols)})
qwen = Qwen2Config(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064, max_position_embeddings=32768, tie_word_embeddings=False)
llama = LlamaConfig(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256, max_position_embeddings=131072, tie_word_embeddings=False)
for cls, config in ((Qwen2ForCausalLM, qwen), (LlamaForCausalLM, llama)):
    p = params(cls, config, 16)
    keep = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size", "max_position_embeddings", "tie_word_embeddings")
    p["config"] = {k: p["config"][k] for k in keep}
    out["params"].append(p)
print(json.dumps(out, indent=1))
