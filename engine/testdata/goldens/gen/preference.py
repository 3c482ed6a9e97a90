"""Losses on preference pairs, unpaired preferences and groups, as TRL 1.16.0 has them:

dpo      trainer/dpo_trainer.py, DPOTrainer._compute_loss (loss_type sigmoid)
kto      trainer/kto_trainer.py, KTOTrainer._compute_loss and _compute_kl_logps, the rotation by one of _prepare_dataset
orpo     experimental/orpo/orpo_trainer.py, odds_ratio_loss and concatenated_forward
simpo    experimental/cpo/cpo_trainer.py, cpo_loss (loss_type simpo)
grpo     trainer/grpo_trainer.py, _compute_loss and the advantages of _generate_and_score_completions
"""
import numpy as np
import torch
import torch.nn.functional as F

BETA = 0.1
MAX_COMPLETION = 32


def all_methods(lab, listed):
    chosen = [lab.chat("Name a colour.", "Blue."), lab.chat("What is 2+2?", "2+2 equals 4.")]
    rejected = [lab.chat("Name a colour.", "I do not want to answer that question."), lab.chat("What is 2+2?", "Five")]
    pairs = lab.batch(chosen + rejected)
    dpo(lab, pairs, listed)
    kto(lab, chosen, rejected, listed)
    orpo_simpo(lab, pairs)
    groups(lab, listed)


def dpo(lab, pairs, listed):
    def loss():
        lp, rf = lab.token_logps(pairs)[0].sum(1), lab.reference_logps(pairs).sum(1)
        d = (lp - rf)[:2] - (lp - rf)[2:]
        return -F.logsigmoid(BETA * d).mean(), {"logps": lp.tolist(), "ref_logps": rf.tolist()}

    lab.run("dpo", loss, {"beta": BETA, "loss_type": "sigmoid", "batch": listed(pairs), "order": "rows are chosen 0, chosen 1, rejected 0, rejected 1"})


def kto(lab, chosen, rejected, listed):
    rows, good = [chosen[0], rejected[0], rejected[1], chosen[1]], torch.tensor([True, False, False, True])
    b, kl_b = lab.batch(rows), lab.batch([(rows[i][0], rows[i - 1][1]) for i in range(4)])

    def loss():
        with torch.no_grad():
            kl = (lab.token_logps(kl_b)[0].sum(1) - lab.reference_logps(kl_b).sum(1)).mean().clamp(min=0)
        r = lab.token_logps(b)[0].sum(1) - lab.reference_logps(b).sum(1)
        each = torch.cat([1 - torch.sigmoid(BETA * (r[good] - kl)), 1 - torch.sigmoid(BETA * (kl - r[~good]))])
        return each.nanmean(), {"kl": kl.item(), "logratios": r.tolist()}

    lab.run("kto", loss, {"beta": BETA, "desirable_weight": 1.0, "undesirable_weight": 1.0, "label": good.tolist(), "batch": listed(b), "kl_batch": listed(kl_b),
                          "note": "kl_batch: prompt i with completion i-1 (rotated); kl is detached, mean of log ratios, clamped at 0"})


def log1mexp(x):
    """log(1 - exp(x)) for x < 0, without loss of precision."""
    return torch.where(x < -0.6931471805599453, torch.log1p(-torch.exp(x)), torch.log(-torch.expm1(x)))


def orpo_simpo(lab, pairs):
    def average():
        lp, m, lg = lab.token_logps(pairs)
        return lp.sum(1) / m.sum(1), lg

    def orpo():
        a, lg = average()
        c, r = a[:2], a[2:]
        y = pairs[0].masked_fill(pairs[1] == 0, -100)[:2, 1:]
        nll = F.cross_entropy(lg[:2, :-1].reshape(-1, lg.size(-1)), y.reshape(-1))
        odds = (c - r) - (log1mexp(c) - log1mexp(r))
        return nll - (BETA * F.logsigmoid(odds)).mean(), {"nll": nll.item(), "avg_logps": a.tolist(), "log_odds": odds.tolist()}

    def simpo():
        a, _ = average()
        return -F.logsigmoid(2.0 * (a[:2] - a[2:]) - 1.0).mean(), {"avg_logps": a.tolist()}

    lab.run("orpo", orpo, {"beta": BETA, "batch": "dpo.batch", "note": "nll is over prompt and completion of the chosen rows (TRL), padding excluded"})
    lab.run("simpo", simpo, {"beta": 2.0, "gamma": 1.0, "cpo_alpha": 0.0, "batch": "dpo.batch", "note": "logits = avg_c - avg_r - gamma/beta, loss = -logsigmoid(beta*logits)"})


def groups(lab, listed):
    """Two prompts, four completions each; GRPO and its kin on the same rollouts, on policy and off it."""
    prompts = [("Name a colour.", ["Blue.", "Red", "I like the colour green a lot.", "No."], [1.0, 1.0, 0.5, 0.0]),
               ("What is 2+2?", ["4", "Four is the answer.", "5", "It is 22, of course!"], [1.0, 0.8, 0.0, 0.0])]
    b = lab.batch([lab.chat(p, c) for p, cs, _ in prompts for c in cs])
    rewards = torch.tensor([r for *_, rs in prompts for r in rs])
    g = rewards.view(2, 4)
    mean = g.mean(1).repeat_interleave(4)
    advantage = {"group": (rewards - mean) / (g.std(1).repeat_interleave(4) + 1e-4), "none": rewards - mean}
    lab.reset()
    with torch.no_grad():
        now, mask, _ = lab.token_logps(b)
    old = (now + torch.tensor(np.random.default_rng(7).normal(0, 0.25, now.shape), dtype=torch.float32)) * mask
    lab.out["grpo_batch"] = {
        "batch": listed(b), "rewards": rewards.tolist(), "group_size": 4, "advantages_group": advantage["group"].tolist(), "advantages_none": advantage["none"].tolist(),
        "epsilon_low": 0.2, "epsilon_high": 0.28, "max_completion_length": MAX_COMPLETION, "logps": now.tolist(), "old_logps": old.tolist(), "ref_logps": lab.reference_logps(b).tolist(),
        "note": "logps rows are aligned to input_ids[:,1:], zero outside the completion; std has Bessel's correction, +1e-4"}

    def method(kind, beta, off_policy, scale):
        def loss():
            lp, m, _ = lab.token_logps(b)
            rf = lab.reference_logps(b)
            before, a = (old if off_policy else lp.detach()), advantage[scale][:, None]
            ratio = torch.exp(lp - before)
            each = -torch.min(ratio * a, ratio.clamp(1 - 0.2, 1 + 0.28) * a)
            if beta:
                each = each + beta * (torch.exp(rf - lp) - (rf - lp) - 1)
            clipped = (((ratio < 0.8) & (a < 0) | (ratio > 1.28) & (a > 0)) * m).sum().item() / m.sum().item()
            return reduce(kind, each, m), {"clip_frac": clipped}
        return loss

    for kind in ("grpo", "bnpo", "dapo", "dr_grpo"):
        scale = "none" if kind == "dr_grpo" else "group"
        lab.run(f"{kind}_onpolicy", method(kind, 0.0, False, scale), {"beta": 0.0, "old_logps": "current, detached", "scale_rewards": scale})
        lab.run(f"{kind}_offpolicy_kl", method(kind, 0.04, True, scale), {"beta": 0.04, "old_logps": "grpo_batch.old_logps", "scale_rewards": scale})


def reduce(kind, each, m):
    """From token losses [B, T-1] to one number. DAPO equals BNPO here: one process, no accumulation."""
    if kind == "grpo":
        return ((each * m).sum(1) / m.sum(1).clamp(min=1)).mean()
    if kind == "dr_grpo":
        return (each * m).sum() / (each.size(0) * MAX_COMPLETION)
    return (each * m).sum() / m.sum()
