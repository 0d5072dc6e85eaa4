#!/usr/bin/env bash
# Runs the conformance tests on an installation without the extension, in an environment of
# its own.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/pure-venv
python=$venv/bin/python

[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$venv"
ANNX_PURE_PYTHON=1 "$python" -m pip install --quiet '.[numba,test]'
if "$python" -c 'import annx._native' 2>/dev/null; then
  echo "annx._native is there, although ANNX_PURE_PYTHON was set" >&2
  exit 1
fi
export ANNX_BACKEND=numba
exec "$python" -m pytest -p no:cacheprovider tests/conformance "$@"
