"""The examples of docs/hnswlib.md run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_examples_run():
    command = [sys.executable, "tools/run_readme.py", "docs/hnswlib.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 examples ran" in done.stdout
