"""GGUF files of the tiny checkpoints, laid out as llama.cpp's converter lays them out, and goldens of what they dequantise to."""
import json

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q

import checkpoints
import goldens
import tokenizers_

NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def permute(w, heads):
    """Rows of one head from (half, pair) to (pair, half) order: llama.cpp ropes neighbouring rows, transformers rows half a head apart."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def name_of(hf):
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if hf in top:
        return top[hf]
    _, _, layer, rest = hf.split(".", 3)
    mod, leaf = rest.rsplit(".", 1)
    return f"blk.{layer}.{NAMES[mod]}.{leaf}"


def encode(w, q):
    if q == Q.F32:
        return w.astype(np.float32)
    if q == Q.F16:
        return w.astype(np.float16)
    return gguf.quants.quantize(w.astype(np.float32), q)


def rope_freqs(cfg):
    """The factors by which llama.cpp divides the rope frequencies: base frequency over scaled frequency, per pair. [head_dim/2]"""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
    inv, _ = ROPE_INIT_FUNCTIONS["llama3"](cfg, device="cpu")
    d = cfg.head_dim
    base = 1.0 / (cfg.rope_parameters["rope_theta"] ** (torch.arange(0, d, 2).float() / d))
    return (base / inv).numpy().astype(np.float32)


def write(m, name, path, pick, file_type):
    """pick(gguf tensor name) -> quantisation of each matrix."""
    arch, family, _ = checkpoints.SPECS[name]
    c, sp = m.config, tokenizers_.FAMILIES[family]
    hd = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w = gguf.GGUFWriter(path, arch)
    w.add_type("model")
    w.add_name("tiny " + name)
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_file_type(file_type)
    w.add_vocab_size(c.vocab_size)
    if hd * c.num_attention_heads != c.hidden_size:
        w.add_key_length(hd)
        w.add_value_length(hd)
    w.add_rope_dimension_count(hd)
    with open(path.rsplit("/", 1)[0] + "/tokenizer.json") as f:
        tj = json.load(f)
    vocab = dict(tj["model"]["vocab"])
    specials = {t["content"]: t["id"] for t in tj["added_tokens"]}
    vocab.update(specials)
    toks = [t for t, _ in sorted(vocab.items(), key=lambda kv: kv[1])]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(family)
    w.add_token_list(toks)
    w.add_token_types([3 if t in specials else 1 for t in toks])
    w.add_token_merges([" ".join(x) if isinstance(x, list) else x for x in tj["model"]["merges"]])
    for k, add in (("bos", w.add_bos_token_id), ("eos", w.add_eos_token_id), ("unk", w.add_unk_token_id), ("pad", w.add_pad_token_id)):
        if sp[k]:
            add(vocab[sp[k]])
    w.add_add_bos_token(False)
    w.add_chat_template(sp["template"])
    w.add_quantization_version(2)
    if c.rope_parameters["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", rope_freqs(c))
    kept = {}
    for hf, t in checkpoints.tensors(m, torch.float32).items():
        v, n = t.numpy(), name_of(hf)
        heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}.get(n.split(".")[-2] if "." in n else "", 0)
        swap = arch == "llama" and heads and n.startswith("blk.")
        q = Q.F32 if v.ndim == 1 else pick(n)
        if swap:
            v = permute(v, heads)
        e = encode(np.ascontiguousarray(v), q)
        w.add_tensor(n, e, raw_dtype=q)
        d = gguf.quants.dequantize(e, q) if q not in (Q.F32,) else e
        if swap:  # back to the transformers order
            d = d.reshape(heads, v.shape[0] // heads // 2, 2, *v.shape[1:]).swapaxes(1, 2).reshape(v.shape)
        kept[hf] = torch.tensor(np.ascontiguousarray(d, dtype=np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return kept


def q4_1(n):
    return Q.Q8_0 if n == "token_embd.weight" else Q.Q4_1


def mixed(n):
    """One of every other format: Q4_0, F16, BF16, Q8_0, F32."""
    for part, q in (("token_embd", Q.F16), ("attn_v", Q.F16), ("attn_output", Q.Q8_0), ("ffn_down", Q.BF16), ("attn_k", Q.F32)):
        if part in n:
            return q
    return Q.Q4_0


def q8_0(n):
    return Q.Q8_0


def make(m, name, folder, stem, pick, file_type):
    """Writes folder/stem.gguf and folder/stem.golden.json (f32 logits of the dequantised weights)."""
    from transformers import AutoTokenizer
    kept = write(m, name, f"{folder}/{stem}.gguf", pick, file_type)
    import copy
    d = copy.deepcopy(m)
    missing = d.load_state_dict(kept, strict=False)
    assert not missing.unexpected_keys and all(k == "lm_head.weight" for k in missing.missing_keys), missing
    d.tie_weights()
    d.config._attn_implementation = "eager"
    tok = AutoTokenizer.from_pretrained(folder)
    p, c = (tok(s, add_special_tokens=False).input_ids for s in (goldens.PROMPT, goldens.COMPLETION))
    lg = goldens.logits(d.eval(), p + c)
    names = sorted(kept)
    out = {"versions": goldens.versions(), "prompt_ids": p, "completion_ids": c, "logits_last": lg[len(p) - 1].tolist(),
           "completion_logprobs": goldens.logps(lg, p + c, len(p)).tolist(),
           "row0": {n: kept[n].reshape(-1, kept[n].shape[-1])[0].tolist() for n in names if ".0." in n or "layers" not in n},
           "sum": {n: kept[n].double().sum().item() for n in names}}
    with open(f"{folder}/{stem}.golden.json", "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")
