#!/usr/bin/env python3
"""Trains the adapter of one bundle with TRL.   usage: python dlm_trl.py BUNDLE

The bundle is a folder: job.json says what to do, rows.jsonl holds the training
rows as token ids, order.jsonl the rows of each step. This program appends what
happens to events.jsonl, keeps checkpoints in checkpoints/, and leaves a PEFT
folder in out/. It ends with 0 when it is done, 75 when it was asked to stop (the
file stop, or SIGTERM) and can go on, 1 after an "error" event.

Its other files lie beside it: dlm_bundle.py, the folder; dlm_ids.py, our ids into
TRL's trainers; dlm_book.py, what happened and what is due.
"""
import contextlib, os, sys, traceback

from dlm_book import Book, memory_now
from dlm_bundle import MARK, Bundle, Refused, Stopped, rewards
from dlm_ids import check_tokenisation, example, group_size, least_micro, micro_batch, sequences, step_trainer, trl_classes

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed lies in the bundle
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def load(b):
    """The base model and its tokenizer, as the job wants them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    job, cuda = b.job, torch.cuda.is_available()
    dtype = torch.float32 if job["precision"] == "f32" else torch.bfloat16
    if cuda and dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported():
        raise Refused("precision", f"{torch.cuda.get_device_name(0)} has no bf16", "set train.precision: f32")
    torch.backends.cuda.matmul.allow_tf32 = False  # f32 means f32
    options = {"dtype": dtype, "attn_implementation": "sdpa"}
    if job["quantize"] == "nf4":
        try:
            import bitsandbytes  # noqa: F401  transformers' own message comes late and names no way out
        except Exception as e:
            raise Refused("missing", f"quantize: nf4 needs bitsandbytes, and it cannot be imported: {e}", "dlm trainer install trl; or leave quantize out") from e
        options["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    if cuda:
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    tok = AutoTokenizer.from_pretrained(job["base"])
    if job["pad"] >= 0:
        tok.pad_token = tok.convert_ids_to_tokens(job["pad"])
    elif tok.pad_token is None:
        tok.pad_token = tok.eos_token
    if job.get("unsloth"):
        return unsloth_model(b, dtype), tok
    model = AutoModelForCausalLM.from_pretrained(job["base"], **options)
    # Not prepare_model_for_kbit_training: it makes f32 of embeddings and norms, which for 7B is 2 GB more. TRL does
    # what else that does, checkpointing and gradients at the input.
    return model, tok


def unsloth():
    """Unsloth's model class. It changes transformers and TRL as it is imported, so that comes before them."""
    import torch

    if not torch.cuda.is_available():
        raise Refused("missing", "unsloth: true needs a CUDA GPU, and there is none", "take trl.unsloth out of dlm.yaml, or train where a GPU is (trl.where)")
    try:
        from unsloth import FastLanguageModel
    except ImportError as e:
        raise Refused("missing", f"unsloth: true, and it cannot be imported: {e}", "install it into the trainer's environment, or take trl.unsloth out of dlm.yaml") from e
    return FastLanguageModel


def unsloth_model(b, dtype):
    r, fast = b.recipe, unsloth()
    model, _ = fast.from_pretrained(b.job["base"], max_seq_length=r["max_len"] or None, dtype=dtype, load_in_4bit=b.job["quantize"] == "nf4")
    return fast.get_peft_model(model, r=r["rank"], lora_alpha=r["alpha"], lora_dropout=r["dropout"], use_rslora=r["rslora"], target_modules=r["target_modules"],
                               random_state=r["seed"], use_gradient_checkpointing="unsloth" if recomputes(b) else False)


def recomputes(b):
    """Whether activations are computed again: by default on a GPU, whose memory is short."""
    import torch

    return {"on": True, "off": False}.get(b.recipe.get("checkpointing") or "auto", torch.cuda.is_available())


def settings(b, config_class):
    """The recipe in TRL's words."""
    import torch

    r, m = b.recipe, b.method
    micro, lr_type = micro_batch(b), r.get("schedule") or "cosine"
    args = dict(
        output_dir=str(b.dir / "checkpoints"), max_steps=len(b.order), per_device_train_batch_size=micro, gradient_accumulation_steps=1,
        learning_rate=r["lr"], lr_scheduler_type="constant_with_warmup" if lr_type == "constant" else lr_type, warmup_steps=r["warmup"],
        optim="adamw_torch", adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, weight_decay=r["weight_decay"], max_grad_norm=r["clip_norm"],
        seed=r["seed"] % 2**32, bf16=b.job["precision"] == "bf16", use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=recomputes(b), gradient_checkpointing_kwargs={"use_reentrant": False},
        logging_strategy="no", save_strategy="no", eval_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False)
    if m in ("sft", "cpt"):
        args |= dict(max_length=None, packing=False)
    elif m == "orpo":
        args |= dict(max_length=1 << 30)  # nothing is cut: the rows fit already
    elif m != "grpo":
        args |= dict(max_length=None)
    if m in ("dpo", "kto", "orpo"):
        args |= dict(beta=r.get("beta") or 0.1, disable_dropout=r["dropout"] == 0)
    if m == "kto":
        args |= dict(train_sampling_strategy="sequential")
    if m == "grpo":
        s = r.get("rollouts") or {}
        args |= dict(
            beta=r.get("beta") or 0.0, num_generations=group_size(b), per_device_train_batch_size=group_size(b), max_completion_length=s.get("max_tokens") or 256,
            temperature=s.get("temperature") or 1.0, top_k=s.get("top_k") or 0, top_p=s.get("top_p") or 1.0, min_p=s.get("min_p") or None,
            repetition_penalty=s.get("repetition_penalty") or 1.0)
    return config_class(**args)


def lora(b):
    from peft import LoraConfig

    r = b.recipe
    pattern = lambda name, number: {p["match"]: number(p["value"]) for p in r.get(name) or []}
    return LoraConfig(task_type="CAUSAL_LM", r=r["rank"], lora_alpha=r["alpha"], lora_dropout=r["dropout"], use_rslora=r["rslora"], bias="none",
                      target_modules=r["target_modules"], rank_pattern=pattern("rank_pattern", int), alpha_pattern=pattern("alpha_pattern", float))


def quiet():
    """stderr.log is read by people: no progress bars, no news of what version 6 will rename."""
    import warnings

    import datasets, transformers

    warnings.simplefilter("ignore", FutureWarning)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_warning()


def train(b):
    if b.job.get("unsloth"):
        unsloth()
    import accelerate, peft, torch, transformers, trl
    from datasets import Dataset
    from peft import PeftModel
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    versions = {"python": sys.version.split()[0], **{m.__name__: m.__version__ for m in (torch, transformers, peft, trl, accelerate)}}
    cuda = torch.cuda.is_available()
    device, vram = ("cuda: " + torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory) if cuda else ("cpu", 0)
    b.emit("start", versions=versions, device=device, vram=vram, pid=os.getpid())
    quiet()
    transformers.set_seed(b.recipe["seed"] % 2**32)
    base_class, config_class = trl_classes(b.method)
    model, tok = load(b)
    extra = {"reward_funcs": rewards(b)} if b.method == "grpo" else {}
    t = step_trainer(b, base_class)(
        model=model, args=settings(b, config_class), processing_class=tok, train_dataset=Dataset.from_list([example(b.method, r) for r in b.rows]),
        peft_config=None if isinstance(model, PeftModel) else lora(b), **extra)  # Unsloth wraps it itself
    for p in t.model.parameters():
        if p.requires_grad:
            p.data = p.data.float()  # TRL rounds a quantised base's adapter to bf16; the optimiser's steps can be smaller
    if b.job.get("init"):
        found = set_peft_model_state_dict(t.model, load_peft_weights(str(b.dir / b.job["init"]), device="cpu"))  # not t.args.device: cpu:0 in one of several processes
        if missing := [k for k in found.missing_keys if ".lora_" in k] + found.unexpected_keys:
            raise Refused("mismatch", f"{b.job['init']}/ does not hold the adapter that the recipe describes: {missing[:3]}", "this is a fault of dlm")
    t.remove_callback(transformers.PrinterCallback)
    t.book = book = Book(b)
    check_tokenisation(b, base_class, t, tok)
    trained = sum(p.numel() for p in t.model.parameters() if p.requires_grad)
    b.emit("plan", parameters=trained, steps=len(b.order), micro_batch=micro_batch(b), bytes=memory_now())
    found = book.resume()
    if not book.ended_early:
        try:
            t.train(resume_from_checkpoint=found)
        except Stopped:  # in the middle of a step: the last finished one is kept
            book.stopped = True
            if book.state["step"] and not (b.dir / "checkpoints" / f"checkpoint-{book.state['step']}" / MARK).exists():
                book.checkpoint(t)
    if book.stopped:
        book.event("stop", asked=True, text="stopped as asked")
        return 75
    book.finish(t)
    return 0


def explain(b, e):
    """The error event for an exception."""
    name, text = type(e).__name__, str(e) or type(e).__name__
    if isinstance(e, Refused):
        return {"type": e.kind, "message": text, "hint": e.hint}
    low = text.lower()
    if isinstance(e, MemoryError) or name == "OutOfMemoryError" or "out of memory" in low or "can't allocate memory" in low:
        less = []
        if micro_batch(b) > least_micro(b):
            less.append(f"train.micro_batch: {max(least_micro(b), micro_batch(b) // 2)}")
        if not recomputes(b):
            less.append("train.checkpointing: \"on\"")
        if b.job["quantize"] != "nf4":
            less.append("quantize: nf4")
        longest = max(n for row in b.rows for n in [len(ids) for ids, _ in sequences(b.method, row)])
        less.append(f"a data.max_len below {longest}, the longest row")
        return {"type": "oom", "message": text, "hint": "try " + ", or ".join(less)}
    if isinstance(e, ImportError):
        return {"type": "missing", "message": f"{e.name or 'a module'} cannot be imported: {text}", "hint": "dlm trainer install trl makes the environment anew; dlm doctor says what is missing"}
    return {"type": name, "message": text, "hint": "the whole traceback stands in stderr.log"}


def main(folder):
    b = Bundle(folder)
    try:
        code = train(b)
    except BaseException as e:
        traceback.print_exc()
        try:
            fields = explain(b, e)
        except Exception:  # with no memory left, not even that
            fields = {"type": type(e).__name__, "message": str(e)}
        b.emit("error", anyone=True, **fields)
        return 1
    if code == 75:
        with contextlib.suppress(FileNotFoundError):
            (b.dir / "stop").unlink()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
