"""The book of a run: what happened in it, and what is due."""
import contextlib, json, math, os, resource, shutil, sys
from pathlib import Path

from dlm_bundle import MARK, Refused, write_whole
from dlm_ids import example, group_size, tokens

ANSWER_TOKENS = 96  # of a sample prompt; as the native trainer has it


class Book:
    """What happened so far, and what is due: evaluations, samples, checkpoints, the end."""

    def __init__(self, b):
        self.b = b
        self.state = {"step": 0, "tokens": 0, "evals": [], "best": None, "loss": 0.0, "seconds": 0.0}
        self.resumed, self.stopped, self.ended_early = 0, False, False
        self.per_epoch = math.ceil(len(b.rows) / b.recipe["batch_size"])
        self.planned = sum(tokens(b.method, b.rows[i]) for step in b.order for i in step)

    def resume(self):
        """The newest whole checkpoint; what was cut off is removed."""
        whole = self.b.checkpoints()
        for p in self.b.dir.glob("checkpoints/checkpoint-*"):
            if p not in whole and self.b.main:
                self.b.emit("note", text=f"{p.name} was cut off half way and is not used")
                shutil.rmtree(p)
        if not whole:
            return None
        self.state = json.loads((whole[-1] / MARK).read_text())
        self.resumed = self.state["step"]
        self.ended_early = self.exhausted()
        return str(whole[-1])

    def event(self, kind, **fields):
        s = self.state
        rate = s["tokens"] / s["seconds"] if s["seconds"] else 0.0
        left = s["seconds"] / s["step"] * (len(self.b.order) - s["step"]) if s["step"] else 0.0
        if rate and self.b.method != "grpo":
            left = (self.planned - s["tokens"]) / rate
        self.b.emit(kind, step=s["step"], steps=len(self.b.order), epoch=s["step"] / self.per_epoch, tokens=s["tokens"],
                    tokens_per_second=rate, left_ns=int(left * 1e9), **fields)

    def after_step(self, t, loss, norm, lr):
        s, r = self.state, self.b.recipe
        s["step"], s["loss"] = t.state.global_step, loss
        s["seconds"] += t.passes.seconds
        t.passes.seconds = 0.0
        rows = [self.b.rows[i] for i in self.b.order[s["step"] - 1]]
        s["tokens"] += sum(tokens(self.b.method, x) for x in rows)
        if self.b.method == "grpo":
            s["tokens"] += sum(len(x["prompt_ids"]) for x in rows) * (group_size(self.b) - 1) + self.b.sampled
        self.event("step", loss=loss, lr=lr, grad_norm=norm, bytes=memory_now(), reward=margin(t))
        if not math.isfinite(loss):
            raise Refused("diverged", f"the loss of step {s['step']} is {loss}", "lower train.lr, or raise train.warmup")
        evaluates = self.due(r.get("eval_every"))
        best = False
        if evaluates and self.b.held and self.b.method != "grpo":
            best = self.evaluate(t)
        self.ended_early = self.exhausted()
        evaluates = evaluates or self.ended_early
        if self.due(r["sample_every"]) if r.get("sample_every") else evaluates:
            self.sample(t)
        asked = self.asked(t)
        if best or asked or (self.due(r["save_every"]) if r.get("save_every") else evaluates):
            self.checkpoint(t)
        if self.ended_early or asked:
            self.stopped = asked and not self.ended_early and s["step"] < len(self.b.order)
            t.control.should_training_stop = True
        if self.ended_early:
            last, since = self.progress()
            by = f" by more than {self.patience()[1]}" if self.patience()[1] else ""
            self.event("stop", text=f"stopped early: in {since} evaluations the held-out loss has not fallen below that of step {last['step']}, {last['loss']:.4f}{by}")

    def asked(self, t):
        """Whether to stop; all processes decide alike."""
        import torch

        flag = torch.tensor([int(self.b.stop_asked())], device=t.args.device)
        return bool(t.accelerator.gather(flag).max().item())

    def due(self, every):
        """Every so many steps; 0: at the end of each epoch; after the last step everything is."""
        s = self.state["step"]
        return s % (every or self.per_epoch) == 0 or s == len(self.b.order) or self.ended_early

    def evaluate(self, t):
        """The held-out rows' loss: the mean over their targets, or over the rows for a preference."""
        import torch

        cuts = [self.b.held[i : i + t.passes.micro] for i in range(0, len(self.b.held), t.passes.micro)]
        items = t.passes.targets(self.b.held)
        total = 0.0
        t.model.eval()
        with torch.no_grad():
            for cut in cuts:
                rows = [example(self.b.method, r) for r in cut]
                if self.b.method == "kto":
                    for e, before in zip(rows, rows[-1:] + rows[:-1]):
                        e["KL_completion_ids"] = before["completion_ids"]
                # Every process evaluates all rows; TRL multiplies by their number where it divided by items.
                weight = len(cut) / len(self.b.held) if items is None else 1 / t.passes.world
                total += t.one_pass(t.model, rows, weight, items, backward=False).item()
        t.model.train()
        clear_metrics(t)
        entry = {"step": self.state["step"], "loss": total}
        self.state["evals"].append(entry)
        best = self.state["best"] is None or total < self.state["best"]["loss"]
        if best:
            self.state["best"] = entry
        self.event("eval", loss=total, best=best)
        return best

    def patience(self):
        e = self.b.recipe.get("early_stopping") or {}
        return e.get("patience", 0), e.get("min_delta", 0.0)

    def progress(self):
        """The last evaluation that was progress, and how many have followed it; as the native trainer counts."""
        last, since = None, 0
        for e in self.state["evals"]:
            if last is None or e["loss"] < last["loss"] - self.patience()[1]:
                last, since = e, 0
            else:
                since += 1
        return last, since

    def exhausted(self):
        return self.state["step"] < len(self.b.order) and 0 < self.patience()[0] <= self.progress()[1]

    def sample(self, t):
        """Answers the sample prompts greedily."""
        import torch
        from transformers import GenerationConfig

        config = GenerationConfig(do_sample=False, max_new_tokens=ANSWER_TOKENS, eos_token_id=self.b.job["stop_ids"] or None, pad_token_id=t.processing_class.pad_token_id)
        t.model.eval()
        for i, s in enumerate(self.b.samples):
            ids = torch.tensor([s["prompt_ids"]], device=t.args.device)
            with torch.no_grad(), t.compute_loss_context_manager():
                out = t.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
            self.event("sample", sample=i, text=t.processing_class.decode(out[0, ids.size(1) :], skip_special_tokens=True))
        t.model.train()

    def checkpoint(self, t):
        """transformers' checkpoint (adapter, optimiser, random numbers), then the mark that it is whole."""
        t._save_checkpoint(t.model, trial=None)
        t.accelerator.wait_for_everyone()
        folder = self.b.dir / "checkpoints" / f"checkpoint-{self.state['step']}"
        if self.b.main:
            write_whole(folder / MARK, json.dumps(self.state))
            best = (self.state["best"] or {}).get("step")
            for old in self.b.checkpoints()[:-2]:
                if old.name != f"checkpoint-{best}":
                    shutil.rmtree(old)
        self.event("checkpoint", path=str(folder.relative_to(self.b.dir)))

    def finish(self, t):
        """Writes out/ whole: the best evaluation's adapter with keep_best, else the last step's."""
        s, best = self.state, self.state["best"]
        kept = best if best and self.b.recipe.get("keep_best") else None
        tmp, out = self.b.dir / "out.tmp", self.b.dir / "out"
        if self.b.main:
            shutil.rmtree(tmp, ignore_errors=True)
            if kept and kept["step"] != s["step"]:
                tmp.mkdir()
                for f in (self.b.dir / "checkpoints" / f"checkpoint-{kept['step']}").glob("adapter_*"):
                    shutil.copy(f, tmp)
            else:
                t.model.save_pretrained(tmp, selected_adapters=["default"], save_embedding_layers=False)
                (tmp / "README.md").unlink(missing_ok=True)  # a card without content
            shutil.rmtree(out, ignore_errors=True)
            os.rename(tmp, out)
        last = s["evals"][-1] if s["evals"] else None
        self.b.emit("done", step=s["step"], steps=s["step"], loss=s["loss"], eval_loss=(kept or last or {}).get("loss", 0.0),
                    best_step=(kept or {}).get("step", s["step"]), tokens=s["tokens"], seconds=s["seconds"], peak_bytes=memory_peak(),
                    resumed=self.resumed, stopped_early=self.ended_early)


def clear_metrics(t):
    for kept in ("_metrics", "_stored_metrics"):
        for m in getattr(t, kept, {}).values():
            m.clear()


def margin(t):
    """By how much the chosen answers are preferred (dpo, kto, orpo), or the mean reward (grpo), of the last step."""
    for kept in ("_metrics", "_stored_metrics"):
        m = getattr(t, kept, {}).get("train", {})
        values = m.get("rewards/margins") or m.get("reward") or []
        if values:
            clear_metrics(t)
            return sum(values) / len(values)
    clear_metrics(t)
    return 0.0


def memory_now():
    import torch

    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def memory_peak():
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
