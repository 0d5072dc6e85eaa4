"""On a free-threaded interpreter annx leaves the GIL off."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

pytest.importorskip("annx._native", reason="the extension is not built")


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"),
    reason="this interpreter always has a GIL: it was built without --disable-gil",
)
def test_the_gil_stays_off():
    script = (
        "import sys, annx, annx._native\n"
        "index = annx.Index(2)\n"
        "index.add([[0, 0], [3, 4]])\n"
        "assert index.search([3, 3], k=1).labels.tolist() == [[1]]\n"
        "print(sys._is_gil_enabled())\n"
    )
    # Forced off, it would stay off whatever the extension says.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    environment["ANNX_BACKEND"] = "native"
    ran = subprocess.run(
        # That the GIL is turned on again is a warning.
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "False\n"
