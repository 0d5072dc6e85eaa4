"""Check that the object files of the instruction sets define their tables and nothing else.

An inline function that such a file shares with others may be the copy that the linker
keeps; baseline code would then run instructions that an old CPU lacks.

Usage: check_isa_symbols.py BUILD_DIR
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TABLE = re.compile(r"_ZN4annx7kernels\d+k[A-Z]\w*E")


def problems(lines: list[str]) -> list[str]:
    """What is wrong with an ISA file, from the lines that ``nm -P`` prints for it."""
    tables, wrong = [], []
    for line in lines:
        name, kind = line.split()[:2]
        if "_GLOBAL__sub_I" in name:
            wrong.append(f"{name}: runs when the library is loaded, on every CPU")
        elif kind in "uvVW":
            wrong.append(f"{name}: weak, so the linker may keep this copy for all files")
        elif kind.islower() or kind == "U":
            continue
        elif TABLE.fullmatch(name):
            tables.append(name)
        else:
            wrong.append(f"{name}: global, but not a kernel table")
    if len(tables) != 1:
        wrong.append(f"expected 1 kernel table, got {len(tables)}: {', '.join(tables)}")
    return wrong


def main(build_dir: str) -> int:
    objects = sorted(
        path
        for path in Path(build_dir).rglob("isa_*.o")
        if "annx_core.dir" in path.parts and "sanitize" not in path.parts
    )
    if not objects:
        print(f"{build_dir}: no object file isa_*.o below it", file=sys.stderr)
        return 1
    failed = False
    for path in objects:
        listing = subprocess.run(
            ["nm", "-P", str(path)], check=True, capture_output=True, text=True
        )
        wrong = problems(listing.stdout.splitlines())
        failed |= bool(wrong)
        print(f"{path.name}: {'FAILED' if wrong else 'ok'}")
        for problem in wrong:
            print(f"  {problem}")
    return int(failed)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
