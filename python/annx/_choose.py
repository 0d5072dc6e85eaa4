"""How to store vectors: what the presets stand for, and whether rows fit a choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx import _validate
from annx._backends.base import SCALED, STORAGE_DTYPES, Config
from annx._probe import FEWEST, Nearest, blocks, comparable
from annx.errors import ParameterError

#: What `codec` may be besides the codecs themselves.
PRESETS = ("auto", "compact", "turbo")
KEEP = ("auto", "f16", "f32", "none")

#: Beneath this dimension float32 rows take few cache lines, and codes save little.
_CODES_FROM_DIM = 32
#: From this dimension on, codes of edges have 1 bit a dimension: 2 would more than
#: double the memory of float32 rows, and the estimates of 1 are good enough.
_ONE_BIT_FROM_DIM = 512
#: Beneath this dimension estimates by codes of edges are poor, and rows take few cache
#: lines anyway: on 16-d mixtures they halve the queries per second at recall .98.
_EDGES_FROM_DIM = 24
#: Largest magnitudes of a row between which float16 holds it to 11 bits.
_HALF_RANGE = (2.0**-8, 65504.0)
#: Mean |x|^2 over mean |x - mean|^2 from which codes lose too much. A code errs by some
#: 0.01 |x| / sqrt(dim) a coordinate: at 8, by 2 % of the spread of squared distances at
#: dim 48; with 48-d clusters at 100 times that offset recall fell from 1.0 to 0.2.
_FAR = 8.0
#: Rows that the offset is estimated from.
_SAMPLE = 2000
#: Elements looked at together: a block and its temporaries stay within L2.
_BLOCK = 1 << 17


class Choice(NamedTuple):
    """A configuration, and why it was chosen."""

    config: Config
    why: str


def initial(config: Config, codec: Any, keep: Any) -> tuple[Choice, str | None]:
    """Configure an index without rows.

    Parameters
    ----------
    config : Config
        Complete but for the codec.
    codec, keep : object
        As the user gave them.

    Returns
    -------
    choice : Choice
    preset : str or None
        The preset that the first rows will decide about.

    Raises
    ------
    ParameterError
    """
    name = _validate.choice(codec, "codec", (*PRESETS, *STORAGE_DTYPES))
    kept = _validate.choice(keep, "keep_vectors", KEEP)
    hamming = config.metric == "hamming"
    if name in PRESETS and hamming:
        name, why = "b1", f"{name}: the bits themselves"
    elif name in PRESETS:
        waiting = Choice(replace(config, codec="f32"), f"{name}: the first rows will decide")
        return waiting, name
    else:
        why = "asked for"
    _validate.pair(name, config.metric, config.dim)
    if name not in SCALED and kept not in ("auto", "none"):
        raise ParameterError(f"keep_vectors={kept!r} goes with codecs {SCALED}, got {name!r}")
    default = "f16" if name in ("sq8", "sq4") else ""
    keep_as = {"auto": default, "none": ""}.get(kept, kept) if name in SCALED else ""
    return Choice(replace(config, codec=name, keep=keep_as), why), None


def by_rows(config: Config, preset: str, keep: str, rows: NDArray[np.float32]) -> Choice:
    """Configure an index for its first rows.

    Parameters
    ----------
    config : Config
    preset : str
    keep : str
        The user's `keep_vectors`.
    rows : ndarray of shape (n, dim), float32
    """
    nearest = Nearest(config, rows)
    edge_bits, beside = _edges(config, nearest) if preset == "turbo" else (0, "")
    as_auto = preset != "compact" and not edge_bits
    # Other codecs than of floats hold what float16 would round, so that "f32" takes them too.
    any_exact = keep != "f16"
    for codec in ("u8", "i8"):
        if any_exact and _is_whole(rows, codec):
            low, high = np.iinfo(STORAGE_DTYPES[codec]).min, np.iinfo(STORAGE_DTYPES[codec]).max
            why = f"{preset}: every value is a whole number from {low} to {high}, kept exactly"
            chosen = replace(config, codec=codec, keep="", wide=True, edge_bits=edge_bits)
            return Choice(chosen, why + beside)
    floats = replace(config, codec="f32", keep="", wide=False, edge_bits=0)
    without = "" if edge_bits else beside
    if any_exact and _is_far_off(config, rows):
        why = f"{preset}: the vectors lie far from 0 beside their spread, where codes lose too much"
        return Choice(floats, why + without)
    if as_auto and config.dim < _CODES_FROM_DIM and keep in ("auto", "f32"):
        why = f"{preset}: dim below {_CODES_FROM_DIM}, where codes would save little"
        return Choice(floats, why + without)
    if any_exact and nearest.blurred():
        why = f"{preset}: near neighbours differ by little more than 8-bit codes err"
        return Choice(floats, why + without)
    kept = keep if keep in ("f16", "f32") else ""
    if as_auto and keep == "auto":
        kept = "f16" if _fits_half(rows) else "f32"
    codec = "sq8" if kept else "sq10"
    held = f"; vectors kept as {kept} for exact distances" if kept else ""
    why = f"{preset}: 8-bit codes to walk the graph{beside}{held}"
    if not kept:
        why += "; distances are those of 10-bit codes"
    chosen = replace(config, codec=codec, keep=kept, wide=False, edge_bits=edge_bits)
    return Choice(chosen, why)


def fits(config: Config, rows: NDArray[Any]) -> bool:
    """Whether rows can be stored as configured without loss beyond the configured."""
    if config.wide:
        return _is_whole(rows, config.codec)
    return config.keep != "f16" or _fits_half(rows)


def wider(config: Config, keep: str, rows: NDArray[np.float32]) -> Config:
    """Configure for rows that do not fit."""
    kept = {"none": "", "f16": "f16", "f32": "f32"}.get(keep)
    if kept is None and config.edge_bits:
        kept = ""
    if kept is None:
        kept = "f16" if config.wide and _fits_half(rows) else "f32"
    return replace(config, codec="sq8" if kept else "sq10", keep=kept, wide=False)


def _edges(config: Config, nearest: Nearest) -> tuple[int, str]:
    """Return the bits of codes of edges for rows of some kind, and what to say of them."""
    if config.dim < _EDGES_FROM_DIM:
        return 0, f" (no neighbours' codes beside rows: dim below {_EDGES_FROM_DIM})"
    bits = 2 if config.dim < _ONE_BIT_FROM_DIM else 1
    if nearest.crowded(bits):
        return 0, " (no neighbours' codes beside rows: too many are about equally near)"
    return bits, f", neighbours' codes of {bits} bits beside each row"


def _is_far_off(config: Config, rows: NDArray[np.float32]) -> bool:
    """Whether a common offset would drown the differences of 8-bit codes."""
    sample = comparable(config, rows[:: max(1, len(rows) // _SAMPLE)])
    squares = np.einsum("ij,ij->i", sample, sample).mean()
    spread = sample.var(axis=0).sum()
    return len(sample) >= FEWEST and bool(squares > _FAR * spread)


def _is_whole(rows: NDArray[Any], codec: str) -> bool:
    low, high = np.iinfo(STORAGE_DTYPES[codec]).min, np.iinfo(STORAGE_DTYPES[codec]).max
    return all(
        bool(((block >= low) & (block <= high) & (block == np.floor(block))).all())
        for block in blocks(rows, _BLOCK)
    )


def _fits_half(rows: NDArray[Any]) -> bool:
    least, most = _HALF_RANGE
    for block in blocks(rows, _BLOCK):
        largest = np.abs(block).max(axis=1)
        if not ((largest <= most) & ((largest >= least) | (largest == 0))).all():
            return False
    return True
