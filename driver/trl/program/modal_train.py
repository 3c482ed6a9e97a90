"""Trains the bundle beside this file on a GPU of Modal (modal.com).

    pip install modal && modal setup        once
    modal run modal_train.py                trains; run it again to go on after an interruption
    dlm adapters import out                 then, in the project: the checks of a native adapter

Base and job are kept in two Modal volumes, so the base is sent once, and a job goes
on from its last checkpoint. Modal bills your account. Settings, as environment
variables: DLM_GPU (default: the smallest that the plan fits), DLM_HOURS (24).
"""
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

import modal

HERE = Path(__file__).parent
REMOTE = "/dlm"


def read(name):
    path = HERE / name
    return json.loads(path.read_text()) if path.exists() else {}  # on Modal's side they are in the volume


def smallest(need):
    """The smallest GPU with room for so many bytes, and a tenth to spare."""
    for name, gigabytes in (("L4", 22), ("L40S", 44), ("A100-80GB", 79), ("H200", 139)):
        if need * 1.1 < gigabytes * 2**30:
            return name
    return "H200"


JOB, PLAN = read("bundle/job.json"), read("plan.json")
GPU = os.environ.get("DLM_GPU") or smallest(PLAN.get("peak_bytes", 0))
HOURS = float(os.environ.get("DLM_HOURS", "24"))

image = modal.Image.debian_slim(python_version="3.11")
if (HERE / "requirements.txt").exists():  # the versions that dlm tests with
    image = image.pip_install(*[line.strip() for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line])
bases = modal.Volume.from_name("dlm-bases", create_if_missing=True)
jobs = modal.Volume.from_name("dlm-jobs", create_if_missing=True)
app = modal.App("dlm-train", image=image)


@app.function(gpu=GPU, volumes={f"{REMOTE}/bases": bases, f"{REMOTE}/jobs": jobs}, timeout=int(HOURS * 3600), retries=modal.Retries(max_retries=3, initial_delay=10.0))
def train(job):
    """Runs the program; what it writes is committed to the volume every half minute."""
    jobs.reload()
    bases.reload()
    folder = Path(REMOTE, "jobs", job)
    events, log = folder / "events.jsonl", folder / "stderr.log"
    seen = events.stat().st_size if events.exists() else 0
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("ab") as out:
        child = subprocess.Popen(["python", "-u", "dlm_trl.py", str(folder)], cwd=folder, env=env, stdout=out, stderr=out)
        saved = time.time()
        while True:
            ended = child.poll() is not None  # before reading: its last events are not missed
            if events.exists() and events.stat().st_size > seen:
                with events.open() as f:
                    f.seek(seen)
                    text = f.read()
                    seen = f.tell()
                print(text, end="", flush=True)
            if ended or time.time() - saved > 30:
                jobs.commit()
                saved = time.time()
            if ended:
                break
            time.sleep(1)
    if child.returncode:
        raise RuntimeError(f"the training program ended with {child.returncode}:\n" + log.read_text()[-4000:])


def name_of(folder, names):
    """A name that is the same for the same files."""
    h = hashlib.sha256()
    for name in names:
        h.update(f"{name} {(folder / name).stat().st_size}\n".encode())
    return h.hexdigest()[:16]


@app.local_entrypoint()
def main(base: str = ""):
    """base: the base's folder, where it is not where it was when the bundle was written."""
    source = Path(base or JOB["base"])
    files = sorted(p.name for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
    base_name = name_of(source, files) + "-" + JOB["base_digest"].replace("sha256:", "")[:16]
    if "whole" not in {Path(e.path).name for e in listing(bases, base_name)}:
        print(f"sending the base {source}, once")
        with bases.batch_upload(force=True) as up:
            for name in files:
                up.put_file(str(source / name), f"/{base_name}/{name}")
        with bases.batch_upload(force=True) as up:  # last: a folder with it is whole
            up.put_file(str(HERE / "plan.json"), f"/{base_name}/whole")
    job = hashlib.sha256((HERE / "bundle" / "manifest.json").read_bytes() + json.dumps({**JOB, "base": ""}, sort_keys=True).encode()).hexdigest()[:16]
    there = HERE / "job.there.json"
    there.write_text(json.dumps({**JOB, "base": f"{REMOTE}/bases/{base_name}"}))
    with jobs.batch_upload(force=True) as up:
        for path in sorted((HERE / "bundle").rglob("*")):
            if path.is_file() and path.name != "job.json":
                up.put_file(str(path), f"/{job}/{path.relative_to(HERE / 'bundle')}")
        up.put_file(str(there), f"/{job}/job.json")
    print(f"training on {GPU}")
    train.remote(job)
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    for entry in listing(jobs, f"{job}/out"):
        with (out / Path(entry.path).name).open("wb") as f:
            jobs.read_file_into_fileobj(entry.path, f)
    print(f"the adapter is in {out}; next, in the project: dlm adapters import {out}")


def listing(volume, path):
    try:
        return volume.listdir(path)
    except (FileNotFoundError, modal.exception.NotFoundError):
        return []
