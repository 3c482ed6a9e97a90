"""The official OpenAI client for Go, unchanged, against `dlm serve`: builds interop/openai-go, a module of its own, and runs it.
usage: serve_go.py WORK BASE"""
import os
import subprocess
import sys
from pathlib import Path

from dlm import check, done
from gateway import ROOT, adapter, gateway


def main():
    work, base = sys.argv[1:3]
    program = os.environ.get("DLM_OPENAI_GO") or str(Path(work) / "openai-go")
    if not os.path.exists(program):
        built = subprocess.run([os.environ.get("GO", "go"), "build", "-C", str(ROOT / "interop/openai-go"), "-o", program, "."], env={**os.environ, "CGO_ENABLED": "0"})
        if built.returncode:
            sys.exit("the client could not be built; its modules come from the Go module proxy")
    with gateway(base, work, adapter(base, work)) as url:
        code = subprocess.run([program, url + "/v1"]).returncode
    check("the Go client", code == 0)
    done()


if __name__ == "__main__":
    main()
