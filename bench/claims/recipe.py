#!/usr/bin/env python3
"""One setting of the train section of a dlm.yaml, for shell scripts. usage: recipe.py DLM_YAML NAME DEFAULT"""
import sys

import yaml

try:
    with open(sys.argv[1]) as f:
        train = (yaml.safe_load(f) or {}).get("train") or {}
except FileNotFoundError:
    train = {}
print(train.get(sys.argv[2], sys.argv[3]))
