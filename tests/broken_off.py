"""Benchmark runs that are broken off, to see whether they go on."""

from __future__ import annotations


class Stop(Exception):
    """Breaks a run off."""


def stop_at(kind, number):
    """What a journal calls with each record: stops at the `number`-th of a kind."""
    seen = []

    def stop(record):
        seen.append(record["record"])
        if seen.count(kind) == number:
            raise Stop

    return stop
