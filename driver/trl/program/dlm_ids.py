"""A bundle's ids into TRL's trainers, and the check that they arrive.

TRL's trainers compute the losses and do the sampling; the ids, the order of the
rows and how a step is cut into passes are the bundle's. See step_trainer.
"""
import contextlib, json, math, time

from dlm_bundle import Refused


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
    return max(m, least_micro(b))


def least_micro(b):
    return 2 if b.method == "kto" else 1  # KTO's KL estimate needs two rows


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
                              "the base's tokenizer or chat template does something dlm does not; serve and train it with one of them, or set trl.ids: ours in dlm.yaml to train on dlm's ids")


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
