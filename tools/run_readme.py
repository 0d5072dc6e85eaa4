"""Run the Python examples of a Markdown file, in order and in one namespace.

Usage: run_readme.py README.md
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path


def main(markdown: str) -> int:
    text = Path(markdown).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    if not blocks:
        print(f"{markdown}: no example found", file=sys.stderr)
        return 1
    namespace: dict[str, object] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number, block in enumerate(blocks, 1):
            exec(compile(block, f"{markdown} example {number}", "exec"), namespace)
        os.chdir("/")
    print(f"{markdown}: {len(blocks)} examples ran")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
