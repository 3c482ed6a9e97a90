"""What a Python environment can train with, as one JSON object. usage: python -c PROBE PACKAGE..."""
import importlib.metadata
import importlib.util
import json
import platform
import sys

out = {"python": platform.python_version(), "prefix": sys.prefix, "packages": {}, "errors": {}, "devices": []}
for name in sys.argv[1:]:
    try:
        out["packages"][name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
try:
    import torch

    out["cuda_built"] = torch.version.cuda or ""
    out["cuda"] = torch.cuda.is_available()
    for i in range(torch.cuda.device_count() if out["cuda"] else 0):
        p = torch.cuda.get_device_properties(i)
        out["devices"].append({"name": p.name, "bytes": p.total_memory, "capability": f"{p.major}.{p.minor}"})
except Exception as e:  # a broken installation fails in many ways
    out["errors"]["torch"] = f"{type(e).__name__}: {e}"
for name in ("transformers", "peft", "trl", "bitsandbytes"):
    if name in out["packages"] and "torch" not in out["errors"]:
        try:
            __import__(name)
        except Exception as e:
            out["errors"][name] = f"{type(e).__name__}: {e}"
out["unsloth"] = importlib.util.find_spec("unsloth") is not None
print(json.dumps(out))
