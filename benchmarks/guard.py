"""Guard against regressions without a clock: the same figures on a busy machine as on an idle one.

    python benchmarks/guard.py            compare with benchmarks/baselines/, exit 1 if worse
    python benchmarks/guard.py --update   write these

Two kinds of cost. Of a search: nodes visited and distances computed at the smallest beam that
reaches a recall, and bytes a row in the file. Of a kernel: instructions for a row, where
valgrind is present, as the difference of two runs.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import annx
from annx import datasets
from annx._bench.truth import Truth

BASELINES = Path(__file__).parent / "baselines"
DATA = ("clusters", "duplicates", "low-angular", "norms")
CODECS = ("auto", "compact", "f32")
RECALLS = (0.90, 0.95, 0.99)
EFS = tuple(range(10, 40, 2)) + tuple(range(40, 100, 5)) + tuple(range(100, 400, 20))
ROWS, K = 5_000, 10

#: Shares by which a figure may grow. The instruction set rounds sums differently, which moves
#: a graph a little; compilers differ in how they unroll.
TOLERANCE = {
    "visited": 0.03,
    "distances": 0.03,
    "ef": 0.15,
    "bytes a row": 0.01,
    "instructions": 0.2,
}

#: What valgrind knows of: not AVX-512.
ISA = "avx2"
KERNELS = (("l2", "f32", 128), ("dot", "f32", 384), ("l2", "u8", 128), ("dot", "i8", 384))
_DTYPES = {"f32": "f4", "i8": "i1", "u8": "u1"}
_KERNEL_ROWS, _REPEATS = 1000, 200

Costs = dict[str, dict[str, float | None]]


def search_costs() -> Costs:
    """Cost of a search on each data set with each codec, at each recall."""
    out: Costs = {}
    counted = "report" in inspect.signature(annx.Index.search).parameters
    for name in DATA:
        data = datasets.generate(name, ROWS, queries=300)
        truth = Truth(data.base, data.queries, K, data.metric)
        for codec in CODECS:
            index = annx.Index(data.base.shape[1], data.metric, codec=codec)
            index.add(data.base, num_threads=1)
            size = len(index.to_bytes()) / ROWS
            waiting = list(RECALLS)
            for ef in EFS:
                hits = index.search(data.queries, K, ef_search=ef, num_threads=1)
                recall = truth.recall(hits.labels)
                while waiting and recall >= waiting[0]:
                    cost: dict[str, float | None] = {"ef": ef, "bytes a row": round(size, 1)}
                    if counted:
                        report = index.search(
                            data.queries, K, ef_search=ef, report=True, num_threads=1
                        ).report
                        cost["visited"] = round(float(report.visited.mean()), 2)
                        cost["distances"] = round(float(report.distances.mean()), 2)
                    out[f"{name}, {codec}, recall {waiting.pop(0):.2f}"] = cost
                if not waiting:
                    break
            for recall in waiting:
                out[f"{name}, {codec}, recall {recall:.2f}"] = {"ef": None}
    return out


def kernel_costs() -> Costs | None:
    """Instructions for a row of each kernel; None without valgrind or the extension."""
    available = annx.cpu_info().get("available", ())
    if shutil.which("valgrind") is None or ISA not in available or annx.backend().name != "native":
        return None
    nothing = _instructions(-1)
    return {
        f"{operation} {kind} of {dim}, {ISA}": {
            "instructions": round((_instructions(number) - nothing) / _KERNEL_ROWS / _REPEATS, 1)
        }
        for number, (operation, kind, dim) in enumerate(KERNELS)
    }


def _instructions(number: int) -> int:
    """Instructions of a whole process that calls one kernel, or none."""
    # One thread and one seed: what is not counted must be the same in all runs.
    environment = os.environ | {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = ["valgrind", "--tool=exp-bbv", "--instr-count-only=yes"]
        command += ["--bb-out-file=/dev/null", f"--log-file={log}"]
        command += [sys.executable, __file__, "--run-kernel", str(number)]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        counts = re.findall(r"Total instructions: (\d+)", log.read_text())
    return sum(map(int, counts[:1]))


def run_kernel(number: int) -> None:
    """Call one kernel, in the process that is counted; make the data of all."""
    from annx import _native

    rng = np.random.default_rng(0)
    for place, (operation, kind, dim) in enumerate(KERNELS):
        rows = rng.integers(0, 100, (_KERNEL_ROWS, dim)).astype(_DTYPES[kind])
        for _ in range(_REPEATS if place == number else 0):
            _native.kernel_distances(ISA, operation, kind, rows[0], rows, rows.strides[0], dim)


def worse(old: Costs, new: Costs) -> list[str]:
    """Say of each figure that grew by more than it may, what it was and is."""
    out = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            out.append(f"{name}: no longer measured")
            continue
        if before.get("ef") is not None and after.get("ef") is None:
            out.append(f"{name}: out of reach")
            continue
        for figure, value in before.items():
            now = after.get(figure)
            # Counts say what a beam costs better than its width does.
            if value is None or now is None or (figure == "ef" and "distances" in before):
                continue
            if now > value * (1 + TOLERANCE[figure]) + (2 if figure == "ef" else 0):
                out.append(f"{name}: {figure} was {value:g}, is {now:g}")
    return out


def read(name: str) -> Costs:
    """Read a committed baseline."""
    found: Any = json.loads((BASELINES / f"{name}.json").read_text("utf-8"))
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write new baselines")
    parser.add_argument("--run-kernel", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_kernel is not None:
        run_kernel(options.run_kernel)
        return
    found = {"search": search_costs(), "kernels": kernel_costs()}
    problems = []
    for name, costs in found.items():
        if costs is None:
            print(f"{name}: not measured: no valgrind, no {ISA} or no extension")
        elif options.update:
            text = json.dumps(costs, indent=1) + "\n"
            (BASELINES / f"{name}.json").write_text(text, encoding="utf-8")
        else:
            problems += worse(read(name), costs)
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
