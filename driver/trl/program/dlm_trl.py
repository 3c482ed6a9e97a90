#!/usr/bin/env python3
"""Trains the adapter of a bundle. usage: python dlm_trl.py BUNDLE"""
import json
import os
import sys

with open(os.path.join(sys.argv[1], "events.jsonl"), "a") as f:
    f.write(json.dumps({"kind": "error", "type": "missing", "message": "this version trains nothing yet"}) + "\n")
sys.exit(1)
