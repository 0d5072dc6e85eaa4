from __future__ import annotations


def pytest_configure(config):
    # Suites of other ecosystems have async tests without marks. An option of a plugin that may
    # be missing cannot stand in pyproject.toml.
    if config.pluginmanager.hasplugin("asyncio"):
        config.option.asyncio_mode = "auto"
