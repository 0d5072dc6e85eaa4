#!/usr/bin/env bash
# Makes a source archive and installs annx from it in a new environment.
#   tools/sdist.sh PYTHON_WITH_BUILD
set -euo pipefail
cd "$(dirname "$0")/.."

out=build/sdist
rm -rf "$out"
"${1:?path of a Python that has the package build}" -m build --sdist --outdir "$out" . >"$out.log" ||
  { cat "$out.log" >&2; exit 1; }
"${PYTHON:-python3}" -m venv "$out/venv"
ANNX_REQUIRE_NATIVE=1 "$out/venv/bin/python" -m pip install --quiet "$out"/annx-*.tar.gz
cd "$out"
./venv/bin/python - <<'PYTHON'
import numpy as np

import annx

x = np.random.default_rng(0).standard_normal((1000, 32), dtype=np.float32)
index = annx.Index(dim=32)
index.add(x)
assert (index.search(x, k=1).labels[:, 0] == np.arange(1000)).mean() > 0.99
print("annx", annx.__version__, "from the source archive:", annx.backend())
PYTHON
