"""What every Python peer of bench/ prints: one JSON object a measurement. Imported by the scripts beside it."""
import json
import os
import resource
import threading
from importlib.metadata import PackageNotFoundError, version


def prompt(i, tokens, vocab):
    """Token ids of prompt i, the same numbers for every engine: a linear congruential generator with a seed of its own."""
    state, ids = i + 1, []
    for _ in range(tokens):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        ids.append((state >> 33) % (vocab - 256) + 256)
    return ids


def versions(*packages):
    out = {}
    for p in packages:
        try:
            out[p] = version(p)
        except PackageNotFoundError:
            pass
    return out


def peak_rss():
    """Largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def emit(**fields):
    print(json.dumps(fields), flush=True)


def threads(asked):
    return asked or len(os.sched_getaffinity(0))


class TreeMemory:
    """Peak of a process and all its children together, sampled twice a second: proportional set sizes, so that pages that they
    share are counted once."""

    def __init__(self, pid):
        import psutil
        self.psutil, self.pid, self.peak, self.done = psutil, pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def now(self):
        total = 0
        try:
            parent = self.psutil.Process(self.pid)
            for p in [parent, *parent.children(recursive=True)]:
                try:
                    total += p.memory_full_info().pss
                except self.psutil.Error:
                    pass
        except self.psutil.Error:
            pass
        return total

    def watch(self):
        while not self.done.is_set():
            self.peak = max(self.peak, self.now())
            self.done.wait(0.5)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.peak = max(self.peak, self.now())
