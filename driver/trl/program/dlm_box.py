#!/usr/bin/env python3
"""dlm's hand on another machine: answers requests on its standard input.

dlm sends this file over a connection (ssh HOST python3 -c ...) and then requests,
a JSON object a line, some followed by "size" bytes. Each answer is a JSON object,
some followed by "size" bytes. When the connection ends, this ends; what it started
goes on. It needs nothing but Python's own library, 3.6 or later.

    dlm_box.py run FD FOLDER COMMAND...   starts a training and waits for it (see begin)
"""
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

FORMAT = 1
CHUNK = 1 << 22


def home(path):
    return os.path.abspath(os.path.expanduser(path))


def inside(folder, name):
    """The path of a file in a folder; a name that leads out of it is refused."""
    path = os.path.abspath(os.path.join(home(folder), name))
    if os.path.commonpath([path, home(folder)]) != home(folder):
        raise ValueError("%s leads out of %s" % (name, folder))
    return path


def hello(q):
    folder = home(q["dir"])
    os.makedirs(folder, exist_ok=True)
    return {"format": FORMAT, "python": platform.python_version(), "dir": folder, "rsync": shutil.which("rsync") is not None}


def device(q):
    """The first GPU, or this machine's memory; and what the disk has left."""
    out = {"name": "cpu", "bytes": 0, "free_disk": shutil.disk_usage(home(q["dir"])).free, "gpus": 0}
    try:
        out["bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        pass
    try:
        text = subprocess.check_output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], stderr=subprocess.DEVNULL, timeout=30).decode()
        gpus = [line.rsplit(",", 1) for line in text.strip().splitlines() if "," in line]
        if gpus:
            least = min(gpus, key=lambda g: float(g[1]))
            out.update(name="cuda: " + least[0].strip(), bytes=int(float(least[1])) << 20, gpus=len(gpus))
    except (OSError, subprocess.SubprocessError, ValueError):
        pass
    return out


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for part in iter(lambda: f.read(CHUNK), b""):
            h.update(part)
    return h.hexdigest()


def listing(q):
    """The files below a folder, with their sizes and, where asked for, hashes."""
    top, out = home(q["folder"]), {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, top)
            if q.get("names") is None or rel in q["names"]:
                out[rel] = {"bytes": os.path.getsize(path)}
                if q.get("hash"):
                    out[rel]["sha256"] = sha256(path)
    return {"files": out}


def part(q, data):
    """Writes a piece of a file at its place: how a file comes that may be cut off."""
    path = inside(q["folder"], q["name"]) + ".part"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "r+b" if os.path.exists(path) else "w+b") as f:
        f.truncate(q["offset"])
        f.seek(q["offset"])
        f.write(data)
    return {}


def whole(q):
    """Checks a file that came in pieces and puts it in its place."""
    path = inside(q["folder"], q["name"])
    got = sha256(path + ".part")
    if got != q["sha256"]:
        os.remove(path + ".part")
        return {"error": "%s arrived damaged (sha256 %s, expected %s); it will be sent again" % (q["name"], got, q["sha256"])}
    os.replace(path + ".part", path)
    return {}


def put(q, data):
    path = inside(q["folder"], q["name"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(path + ".tmp", path)
    return {}


def read(q):
    try:
        with open(inside(q["folder"], q["name"]), "rb") as f:
            f.seek(0, 2)
            end = f.tell()
            f.seek(max(0, end + q["offset"]) if q["offset"] < 0 else q["offset"])
            return {"there": True}, f.read(min(q["most"], CHUNK))
    except FileNotFoundError:
        return {"there": False}, b""


def lock(folder):
    """The lock of a folder's training, or None: it runs. The system lets go of it when the last process dies that
    holds it, however that dies, so whether it runs is never a guess by a number."""
    f = open(os.path.join(home(folder), "child.lock"), "a+")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return f
    except BlockingIOError:
        f.close()
        return None


def running(folder):
    if not os.path.exists(os.path.join(home(folder), "child.lock")):
        return False
    f = lock(folder)
    if f is None:
        return True
    f.close()
    return False


def poll(q):
    alive = running(q["folder"])  # before reading: what it wrote last is not missed
    answer, data = read({"folder": q["folder"], "name": "events.jsonl", "offset": q["offset"], "most": q["most"]})
    answer["running"] = alive
    return answer, data


def begin(q):
    folder = home(q["folder"])
    held = lock(folder)
    if held is None:
        return {"attached": True}
    with held:
        shutil.rmtree(os.path.join(folder, "rewards"), ignore_errors=True)
        for name in ("stop", "ended", "pid"):
            if os.path.exists(os.path.join(folder, name)):
                os.remove(os.path.join(folder, name))
        log = os.path.join(folder, "stderr.log")
        if os.path.exists(log):
            os.replace(log, log + ".before")
        me = os.path.join(folder, "dlm_box.py")
        with open(me, "w") as f:
            f.write(SOURCE)
        env = dict(os.environ)
        env.update(v.split("=", 1) for v in q.get("env") or [])
        command = [os.path.expanduser(a) for a in q["start"]]
        if not shutil.which(command[0]):
            return {"error": "there is no %s here" % command[0]}
        with open(log, "wb") as out:
            child = subprocess.Popen([sys.executable, me, "run", str(held.fileno()), folder] + command, cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=out, pass_fds=[held.fileno()], start_new_session=True)
        put({"folder": folder, "name": "pid"}, json.dumps({"pid": child.pid, "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}).encode())
    return {"attached": False}


def run(fd, folder, command):
    """The parent of a training, which keeps how it ended."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = subprocess.call(command + [folder], pass_fds=[int(fd)], cwd=folder)
    how = "signal: " + signal.Signals(-code).name if code < 0 else "exit status %d" % code
    put({"folder": folder, "name": "ended"}, how.encode())


def words(q):
    _, text = read({"folder": q["folder"], "name": "stderr.log", "offset": -q["most"], "most": q["most"]})
    _, how = read({"folder": q["folder"], "name": "ended", "offset": 0, "most": 100})
    return {"ended": how.decode()}, text


def kill(q):
    for _ in range(100):
        if not running(q["folder"]):
            return {}
        try:
            with open(inside(q["folder"], "pid")) as f:
                os.killpg(json.load(f)["pid"], signal.SIGKILL)
        except (OSError, ValueError, KeyError) as e:
            if not running(q["folder"]):
                return {}
            if not isinstance(e, ProcessLookupError):
                return {"error": "which process trains is not recorded (%s): end it by hand" % e}
        time.sleep(0.1)
    return {"error": "the training does not end; end it by hand"}


WITH_DATA = {"part": part, "put": put}
WITHOUT = {"hello": hello, "device": device, "listing": listing, "whole": whole, "read": read, "poll": poll, "begin": begin, "words": words, "kill": kill}


def answer(line, stdin):
    q = json.loads(line.decode())
    data = stdin.read(q["size"]) if q.get("size") else b""
    if len(data) != q.get("size", 0):
        raise EOFError
    try:
        if q["do"] in WITH_DATA:
            return WITH_DATA[q["do"]](q, data), b""
        out = WITHOUT[q["do"]](q)
        return out if isinstance(out, tuple) else (out, b"")
    except Exception as e:
        return {"error": "%s: %s" % (type(e).__name__, e)}, b""


def serve():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    stdout.write(b"dlm-box %d\n" % FORMAT)  # what a login shell may have printed stands before this line
    stdout.flush()
    for line in iter(stdin.readline, b""):
        try:
            head, data = answer(line, stdin)
        except EOFError:
            return
        head["size"] = len(data)
        stdout.write(json.dumps(head).encode() + b"\n" + data)
        stdout.flush()


if __name__ == "__main__" and len(sys.argv) > 4 and sys.argv[1] == "run":
    run(sys.argv[2], sys.argv[3], sys.argv[4:])
elif "SOURCE" in globals():  # set by who sent this
    serve()
