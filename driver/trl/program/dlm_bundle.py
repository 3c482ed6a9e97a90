"""The folder of a job, and how the program and dlm speak through it."""
import json, math, os, signal, time
from pathlib import Path

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


def write_whole(path, text):
    tmp = path.with_suffix(".tmp")
    with tmp.open("w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.rename(tmp, path)


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
