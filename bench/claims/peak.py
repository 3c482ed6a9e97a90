#!/usr/bin/env python3
"""Runs a command and writes the peak of its resident memory, in KiB. usage: peak.py FILE COMMAND..."""
import resource
import subprocess
import sys

rc = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as f:
    f.write(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\n")
sys.exit(rc)
