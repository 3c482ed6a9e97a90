#!/usr/bin/env python3
"""Trains the adapter of one bundle with TRL.   usage: python dlm_trl.py BUNDLE

The bundle is a folder: job.json says what to do, rows.jsonl holds the training
rows as token ids, order.jsonl the rows of each step. This program appends what
happens to events.jsonl, keeps checkpoints in checkpoints/, and leaves a PEFT
folder in out/. It ends with 0 when it is done, 75 when it was asked to stop (the
file stop, or SIGTERM) and can go on, 1 after an "error" event.

TRL's trainers compute the losses and do the sampling; the ids, the order of the
rows and how a step is cut into passes are the bundle's. See StepTrainer.
"""
import contextlib, json, math, os, resource, shutil, signal, sys, time, traceback
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed lies in the bundle
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ANSWER_TOKENS = 96  # of a sample prompt; as the native trainer has it
MARK = "dlm.json"  # written last into a checkpoint: one without it was cut off
REWARD_WAIT = 6 * 3600  # seconds in which dlm must have answered a rollout


class Refused(Exception):
    """An error that has a type of its own, and a next step."""

    def __init__(self, kind, message, hint=""):
        super().__init__(message)
        self.kind, self.hint = kind, hint


class Stopped(Exception):
    """Somebody asked to stop while a step was waiting."""


class Bundle:
    """The folder and what it says."""

    def __init__(self, folder):
        self.dir = Path(folder).resolve()
        self.job = json.loads((self.dir / "job.json").read_text())
        if self.job["format"] != 1:
            raise Refused("format", f"job.json has format {self.job['format']}, this program reads format 1", "use the program that came with the bundle")
        self.recipe, self.method = self.job["recipe"], self.job["method"]
        self.rows, self.held = self.lines(self.job["rows"]), self.lines(self.job["held"])
        self.order, self.samples = self.lines(self.job["order"]), self.lines(self.job["samples"])
        for i, row in enumerate(self.rows):
            row["row"] = i
        self.asked = False  # by SIGTERM
        self.main = os.environ.get("RANK", "0") == "0"  # one of several processes tells what happens
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "asked", True))

    def lines(self, name):
        path = self.dir / name
        return [json.loads(line) for line in path.open()] if path.exists() else []

    def emit(self, kind, anyone=False, **fields):
        if self.main or anyone:
            line = json.dumps({"kind": kind, **fields}, ensure_ascii=False) + "\n"
            fd = os.open(self.dir / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            with open(fd, "wb", buffering=0) as f:
                f.write(line.encode())  # one write: lines of several processes do not mix

    def stop_asked(self):
        return self.asked or (self.dir / "stop").exists()

    def checkpoints(self):
        """Whole checkpoints, oldest first."""
        found = [(int(p.parent.name.split("-")[1]), p.parent) for p in self.dir.glob(f"checkpoints/checkpoint-*/{MARK}")]
        return [path for _, path in sorted(found)]


# What each method hands to TRL. Its collators take token ids under these names.


def example(method, row):
    """A bundle's row as TRL's collator for the method takes it."""
    if method in ("sft", "cpt"):
        return {"input_ids": row["ids"], "labels": [i if m else -100 for i, m in zip(row["ids"], row["mask"])]}
    if method == "dpo":
        return {k: row[k] for k in ("prompt_ids", "chosen_ids", "rejected_ids")}
    if method == "kto":
        return {k: row[k] for k in ("prompt_ids", "completion_ids", "label")}
    if method == "orpo":
        out = {"prompt_input_ids": row["prompt_ids"], "prompt_attention_mask": [1] * len(row["prompt_ids"])}
        for side in ("chosen", "rejected"):
            ids = row["prompt_ids"] + row[side + "_ids"]
            out |= {f"{side}_input_ids": ids, f"{side}_attention_mask": [1] * len(ids),
                    f"{side}_labels": [-100] * len(row["prompt_ids"]) + row[side + "_ids"]}
        return out
    return {"prompt": str(row["row"]), "row": row["row"]}  # grpo: the prompt is looked up again by its number


def sequences(method, row):
    """The (ids, labels) that must reach the model for a row."""
    if method in ("sft", "cpt"):
        return [(row["ids"], example(method, row)["labels"])]
    if method == "grpo":
        return [(row["prompt_ids"], None)]
    answers = ("completion_ids",) if method == "kto" else ("chosen_ids", "rejected_ids")
    return [(row["prompt_ids"] + row[a], [-100] * len(row["prompt_ids"]) + row[a]) for a in answers]


def tokens(method, row):
    return sum(len(ids) for ids, _ in sequences(method, row))


def unpadded(batch, prefix=""):
    """The (ids, labels) in a batch that TRL's collator made."""
    ids, there = batch[prefix + "input_ids"], batch[prefix + "attention_mask"].bool()
    labels = batch.get(prefix + "labels")
    if labels is None:
        labels = ids.masked_fill(batch[prefix + "completion_mask"] == 0, -100)
    return [(i[m].tolist(), l[m].tolist()) for i, l, m in zip(ids, labels, there)]


def batch_sequences(method, batch):
    if method == "grpo":
        return [(i[m].tolist(), None) for i, m in zip(batch["prompt_ids"], batch["prompt_mask"].bool())]
    if method == "orpo":
        return unpadded(batch, "chosen_") + unpadded(batch, "rejected_")
    return unpadded(batch)


def trl_classes(method):
    import trl

    if method in ("sft", "cpt"):
        return trl.SFTTrainer, trl.SFTConfig
    if method == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOTrainer, ORPOConfig
    name = method.upper()
    if name not in ("DPO", "KTO", "GRPO"):
        raise Refused("method", f"method {method}: expected sft, cpt, dpo, kto, orpo or grpo")
    return getattr(trl, name + "Trainer"), getattr(trl, name + "Config")


def step_trainer(b, base_class):
    """A trainer of TRL whose steps are the bundle's.

    transformers' loop sees one batch a step, in the order of order.jsonl. A step
    is cut into passes here, and the passes' losses are weighted so that their sum
    is the step's loss however it was cut: 8 passes of 1 row = 1 pass of 8. With
    several processes each takes every n-th row of a step.
    """
    import torch
    from torch.utils.data import DataLoader

    method, recipe = b.method, b.recipe

    class StepTrainer(base_class):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset  # it holds ids already

        def tokenize_row(self, feature, *args, **kwargs):  # ORPO's name for it
            return feature

        def _tokenize_prompts(self, prompts):  # GRPO's
            return [list(b.rows[int(p)]["prompt_ids"]) for p in prompts], None, {}

        def create_model_card(self, *args, **kwargs):
            pass  # dlm writes its own, from the lineage

        def floating_point_ops(self, inputs):
            return 0

        def get_train_dataloader(self):
            self.passes = Passes(b, self)
            return DataLoader([[b.rows[i] for i in step] for step in b.order], batch_size=1, collate_fn=lambda steps: steps[0])

        def training_step(self, model, rows, num_items_in_batch=None):
            begin = time.time()
            model.train()
            loss = torch.zeros((), device=self.args.device)
            cuts = self.passes.of(rows)
            self.current_gradient_accumulation_steps = len(cuts)
            for i, (part, weight, items) in enumerate(cuts):
                # The processes exchange gradients once a step.
                with self.accelerator.no_sync(model) if i < len(cuts) - 1 else contextlib.nullcontext():
                    loss += self.one_pass(model, part, weight, items, backward=True)
            self.passes.seconds += time.time() - begin
            return loss

        def one_pass(self, model, part, weight, items, backward):
            inputs = self._prepare_input(part if isinstance(part, dict) else self.data_collator(part))
            check = backward and not self.passes.checked and SelfCheck(b, self, inputs)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs, num_items_in_batch=items) * weight
            if check:
                check.reached_the_model()
                self.passes.checked = True
            if backward:
                self.accelerator.backward(loss)
            return loss.detach()

        def _maybe_log_save_evaluate(self, tr_loss, grad_norm, model, *args, learning_rate=None, **kwargs):
            """What is due after a step."""
            if self.state.global_step == self._globalstep_last_logged:
                return  # called again at the end
            self._globalstep_last_logged = self.state.global_step
            loss = self.accelerator.gather(tr_loss.reshape(1)).mean().item()
            tr_loss -= tr_loss
            norm = grad_norm.item() if hasattr(grad_norm, "item") else grad_norm or 0.0
            self.book.after_step(self, loss, norm, learning_rate)

    return StepTrainer


class Passes:
    """Cuts steps into passes of at most micro_batch rows."""

    def __init__(self, b, trainer):
        self.b, self.trainer = b, trainer
        self.micro = micro_batch(b)
        self.world, self.rank = trainer.accelerator.num_processes, trainer.accelerator.process_index
        self.seconds, self.checked = 0.0, False

    def of(self, rows):
        """This process's passes of a step: (examples or batch, weight, targets of the step)."""
        m = self.b.method
        if m == "grpo":
            return self.rollouts(rows)
        share = rows[self.rank :: self.world]
        most = math.ceil(math.ceil(len(rows) / self.world) / self.micro)
        cuts = [share[i : i + self.micro] for i in range(0, len(share), self.micro)]
        idle = [rows[:1]] * (most - len(cuts))  # every process makes as many passes; these weigh nothing
        examples = {id(r): example(m, r) for r in rows}
        if m == "kto":  # the KL term's mismatched answers: those of the step, one row on
            for r, before in zip(rows, rows[-1:] + rows[:-1]):
                examples[id(r)]["KL_completion_ids"] = before["completion_ids"]
        items = self.targets(rows)
        return [([examples[id(r)] for r in cut], self.weight(cut, rows), items) for cut in cuts] + [
            ([examples[id(r)] for r in cut], 0.0, items) for cut in idle]

    def targets(self, rows):
        """Tokens that count in the loss; sft's loss is a mean over them. The first of a row has nothing before it."""
        return sum(sum(r["mask"][1:]) for r in rows) if self.b.method in ("sft", "cpt") else None

    def weight(self, cut, rows):
        """sft divides by the step's targets already; the others' losses are means over the pass's rows."""
        return 1.0 if self.b.method in ("sft", "cpt") else self.world * len(cut) / len(rows)

    def rollouts(self, rows):
        """GRPO: answers each prompt `group` times, asks for rewards, and cuts what was sampled. Its loss is
        divided by the step's tokens, so the passes only add up."""
        group = group_size(self.b)
        each = math.ceil(len(rows) / self.world)
        share = (rows * self.world)[self.rank * each : (self.rank + 1) * each]  # a short last share starts over
        t = self.trainer
        batch = t._generate_and_score_completions([example("grpo", r) for r in share for _ in range(group)])
        t.current_gradient_accumulation_steps = 1
        n = len(batch["completion_ids"])
        self.b.sampled = int(batch["completion_mask"].sum()) * self.world
        part = lambda v, i: v[i : i + self.micro] if hasattr(v, "dim") and v.dim() and len(v) == n else v
        cuts = [{k: part(v, i) for k, v in batch.items()} for i in range(0, n, self.micro)]
        # TRL divides by passes a generation (one) over passes a step (ours): take that back.
        return [(cut, float(len(cuts)), None) for cut in cuts]


def micro_batch(b):
    m = min(b.recipe.get("micro_batch") or 4, b.recipe["batch_size"] * (group_size(b) if b.method == "grpo" else 1))
    return max(m, 2) if b.method == "kto" else m  # KTO's KL estimate needs two rows


def group_size(b):
    return b.recipe.get("group") or 8


class SelfCheck:
    """Asserts that the first batch that reaches the model is the bundle's, to the last id and label."""

    def __init__(self, b, trainer, batch):
        self.b, self.method = b, b.method
        step = b.order[trainer.state.global_step]
        self.want = {json.dumps(s) for i in step for s in sequences(self.method, b.rows[i])}
        self.got = batch_sequences(self.method, batch)
        for ids, labels in self.got:
            if json.dumps((ids, labels)) not in self.want:
                raise self.differs(trainer, ids, labels)
        if not self.got:
            raise Refused("mismatch", "the first batch is empty")
        self.seen = []  # what the embedding is asked for
        emb = trainer.model.get_input_embeddings()
        self.hook = emb.register_forward_pre_hook(lambda _, args: self.seen.extend(args[0].tolist()))
        self.trainer = trainer

    def reached_the_model(self):
        self.hook.remove()
        for ids, _ in self.got:
            if not any(row[i : i + len(ids)] == ids for row in self.seen for i in range(len(row) - len(ids) + 1)):
                raise self.differs(self.trainer, self.seen[0] if self.seen else [], None)

    def differs(self, trainer, ids, labels):
        near = max((json.loads(w) for w in self.want), key=lambda w: sum(a == c for a, c in zip(w[0], ids)))
        what = "ids" if near[0] != ids else "labels"
        at, ours, theirs = first_difference(trainer.processing_class, near[what == "labels"], (ids, labels)[what == "labels"] or [])
        return Refused("mismatch", f"the {what} that reach the model are not those of the job, first at position {at}: job {ours}, model {theirs}",
                       "the environment's TRL handles rows otherwise than the version that dlm knows: dlm doctor compares them")


def first_difference(tok, ours, theirs):
    at = next((i for i, (a, c) in enumerate(zip(ours, theirs)) if a != c), min(len(ours), len(theirs)))
    show = lambda ids: repr(tok.decode([i for i in ids[at : at + 8] if i >= 0])) + f" {list(ids[at:at + 8])}"
    return at, show(ours), show(theirs)


def check_tokenisation(b, base_class, trainer, tok):
    """Lets TRL make ids of some rows itself and refuses a difference.

    TRL counts what a template writes after the end of a turn as part of the
    answer; dlm leaves it out. That is the one difference that is accepted.
    """
    ends = {b.job["end_of_turn"], tok.eos_token_id}
    for c in b.job.get("check") or []:
        row = b.rows[c["row"]]
        want, got = sequences(b.method, row), trl_ids(b, base_class, trainer, tok, c)
        for (ours, _), theirs in zip(want, got):
            rest = theirs[len(ours) :]
            tail = b.method not in ("sft", "cpt", "grpo") and all(i in ends or not tok.decode([i]).strip() for i in rest)
            if theirs[: len(ours)] != ours or (rest and not tail):
                at, a, t = first_difference(tok, ours, theirs)
                raise Refused("mismatch", f"row {row.get('id', c['row'])}: TRL's own ids differ from dlm's, first at token {at}: dlm {a}, TRL {t}",
                              "the base's tokenizer or chat template does something dlm does not; serve and train it with one of them, or set trl.ids: ours to train on dlm's ids")


def trl_ids(b, base_class, trainer, tok, c):
    """The ids that TRL makes of a row by itself, in the order of sequences()."""
    from datasets import Dataset

    messages, cut = c.get("messages"), c.get("train_from", 0)
    prompt, answer = (messages[:cut], messages[cut:]) if messages else (c.get("prompt", ""), c.get("completion", ""))
    rejected = c.get("rejected") or c.get("rejected_text")
    if b.method == "grpo":
        return base_class._tokenize_prompts(trainer, [prompt])[0]
    if b.method == "orpo":
        from trl.data_utils import maybe_apply_chat_template

        row = base_class.tokenize_row(trainer, maybe_apply_chat_template({"prompt": prompt, "chosen": answer, "rejected": rejected}, tok))
        return [row["chosen_input_ids"], row["rejected_input_ids"]]
    if b.method in ("sft", "cpt"):
        row = {"prompt": prompt, "completion": answer} if prompt else {"messages": messages} if messages else {"text": answer}
        return [base_class._prepare_dataset(trainer, Dataset.from_list([row]), tok, trainer.args, False, None, "check")[0]["input_ids"]]
    row = {"prompt": prompt, "completion": answer, "label": True} if b.method == "kto" else {"prompt": prompt, "chosen": answer, "rejected": rejected}
    out = base_class._prepare_dataset(trainer, Dataset.from_list([row]), tok, trainer.args, "check")[0]
    return [out["prompt_ids"] + out[k] for k in ("completion_ids", "chosen_ids", "rejected_ids") if k in out]


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


def write_whole(path, text):
    tmp = path.with_suffix(".tmp")
    with tmp.open("w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.rename(tmp, path)


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


def rewards(b):
    """TRL's reward function: asks dlm, which answers with a file."""
    from accelerate.utils import broadcast_object_list, gather_object

    asked = [int(p.stem) for p in b.dir.glob("rewards/*.json") if p.stem.isdigit()]
    asked += [e["n"] for e in b.lines("events.jsonl") if e.get("kind") == "rollout"]
    count = [max(asked, default=0)]  # an answer to an earlier start of this job is none to this one

    def reward(completions, completion_ids, row, trainer_state, **kwargs):
        stops = set(b.job["stop_ids"])
        mine = [{"row": r, "completion": c, "finish": "stop" if ids and ids[-1] in stops else "length"} for r, c, ids in zip(row, completions, completion_ids)]
        everyone, answer = gather_object(mine), [None]
        count[0] += 1
        if b.main:
            b.emit("rollout", n=count[0], step=trainer_state.global_step, rollouts=everyone)
            answer = [wait_for_rewards(b, count[0], len(everyone))]
        broadcast_object_list(answer)
        if answer[0] is None:
            raise Stopped
        b.emit("reward", step=trainer_state.global_step + 1, steps=len(b.order), reward=sum(answer[0]) / len(answer[0]))
        first = int(os.environ.get("RANK", "0")) * len(mine)
        return answer[0][first : first + len(mine)]

    return reward


def wait_for_rewards(b, n, expected):
    path, end = b.dir / "rewards" / f"{n}.json", time.time() + b.job.get("reward_wait_seconds", REWARD_WAIT)
    while not path.exists():
        if b.stop_asked():
            return None
        if time.time() > end:
            raise Refused("rewards", f"rollout {n} got no rewards: {path} did not come", "dlm answers them: start the same dlm train again, it attaches and the run goes on from its last checkpoint")
        time.sleep(0.1)
    values = json.loads(path.read_text())["rewards"]
    if len(values) != expected or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
        raise Refused("rewards", f"rewards/{n}.json: expected {expected} finite numbers, got {values!r:.200}", "one reward for each rollout, in their order")
    return values


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
    if b.job.get("ids") != "ours":
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
        r, less = b.recipe, []
        if micro_batch(b) > 1:
            less.append(f"train.micro_batch: {max(1, micro_batch(b) // 2)}")
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
