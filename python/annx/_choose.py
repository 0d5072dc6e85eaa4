"""How to store vectors: what the presets stand for, and whether rows fit a choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annx import _validate
from annx._backends.base import SCALED, STORAGE_DTYPES, Config
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
#: Rows that the offset is estimated from, and the fewest that tell anything.
_SAMPLE, _FEWEST = 2000, 50
#: Rows that are compared with all, and how many are looked at of those near each.
_PROBES, _NEAR = 32, 64
#: The error of a squared distance between codes, in |x|^2 / sqrt(dim): a coordinate errs
#: by some 0.008 |x| / sqrt(dim), and a dot product of two such by sqrt(2) |x| times that.
_CODE_ERROR = 0.0226
#: Share of the squared distance of the 10th neighbour from which that is too much. At .15
#: recall@10 of rows in 200 clusters fell to .98, at .7 to .65; of embeddings, descriptors
#: and images it is .001 to .06.
_MOST_ERROR = 0.15
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
    edge_bits, beside = 0, ""
    with_edges = preset == "turbo" and config.dim >= _EDGES_FROM_DIM
    as_auto = preset != "compact" and not with_edges
    if with_edges:
        edge_bits = 2 if config.dim < _ONE_BIT_FROM_DIM else 1
        beside = f", neighbours' codes of {edge_bits} bits beside each row"
    # Other codecs than of floats hold what float16 would round, so that "f32" takes them too.
    any_exact = keep != "f16"
    for codec in ("u8", "i8"):
        if any_exact and _is_whole(rows, codec):
            low, high = np.iinfo(STORAGE_DTYPES[codec]).min, np.iinfo(STORAGE_DTYPES[codec]).max
            why = f"{preset}: every value is a whole number from {low} to {high}, kept exactly"
            chosen = replace(config, codec=codec, keep="", wide=True, edge_bits=edge_bits)
            return Choice(chosen, why + beside)
    floats = replace(config, codec="f32", keep="", wide=False, edge_bits=0)
    if any_exact and _is_far_off(config, rows):
        why = f"{preset}: the vectors lie far from 0 beside their spread, where codes lose too much"
        return Choice(floats, why)
    if as_auto and config.dim < _CODES_FROM_DIM and keep in ("auto", "f32"):
        why = f"{preset}: dim below {_CODES_FROM_DIM}, where codes would save little"
        return Choice(floats, why)
    if any_exact and _is_blurred(config, rows):
        why = f"{preset}: near neighbours differ by little more than 8-bit codes err"
        return Choice(floats, why)
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


def _is_far_off(config: Config, rows: NDArray[np.float32]) -> bool:
    """Whether a common offset would drown the differences of 8-bit codes."""
    sample = _comparable(config, rows[:: max(1, len(rows) // _SAMPLE)])
    squares = np.einsum("ij,ij->i", sample, sample).mean()
    spread = sample.var(axis=0).sum()
    return len(sample) >= _FEWEST and bool(squares > _FAR * spread)


def _is_blurred(config: Config, rows: NDArray[np.float32]) -> bool:
    """Whether codes err too much beside the nearest of a quarter of the rows."""
    if config.metric not in ("l2", "cosine") or len(rows) < _FEWEST:
        return False
    probes = rows[(2 * np.arange(_PROBES) + 1) * len(rows) // (2 * _PROBES)]
    blurred = 0
    for probe, near in zip(probes, _roughly_nearest(config, probes, rows), strict=True):
        exact = _comparable(config, probe)
        apart = _comparable(config, rows[near]) - exact
        squares = np.einsum("ij,ij->i", apart, apart)
        # Copies are found together, whatever the code.
        squares[squares == 0] = np.inf
        tenth = np.sort(squares)[min(9, len(squares) - 1)]
        error = _CODE_ERROR / np.sqrt(config.dim) * exact.dot(exact)
        blurred += bool(error > _MOST_ERROR * tenth)
    return 4 * blurred >= _PROBES


def _comparable(config: Config, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows as float64, of length 1 under cosine."""
    wide = rows.astype(np.float64)
    if config.metric == "cosine":
        wide /= np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), np.finfo(np.float64).tiny)
    return wide


def _roughly_nearest(
    config: Config, probes: NDArray[np.float32], rows: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Return the places of the `_NEAR` rows nearest to each probe, as float32 tells them apart."""
    # Squares of float32 overflow from 2^64 on.
    scale = np.float32(1) / max(np.float32(np.abs(probes).max()), np.finfo(np.float32).tiny)

    def comparable(some: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = some * scale
        if config.metric == "cosine":
            lengths = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
            scaled /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
        return scaled

    asked = comparable(probes)
    least = np.empty((len(probes), 0), np.float32)
    places = np.empty((len(probes), 0), np.int64)
    first = 0
    for block in _blocks(rows, 8 * _BLOCK):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = comparable(block)
            # Without |probe|^2, which is the same for all.
            far = np.einsum("ij,ij->i", scaled, scaled) - 2 * (asked @ scaled.T)
        far = np.concatenate([least, far], axis=1)
        here = np.broadcast_to(np.arange(first, first + len(block)), (len(probes), len(block)))
        known = np.concatenate([places, here], axis=1)
        kept = np.argpartition(far, min(_NEAR, far.shape[1]) - 1, axis=1)[:, :_NEAR]
        least = np.take_along_axis(far, kept, axis=1)
        places = np.take_along_axis(known, kept, axis=1)
        first += len(block)
    return places


def _blocks(rows: NDArray[Any], elements: int = _BLOCK) -> list[NDArray[Any]]:
    step = max(1, elements // rows.shape[1])
    return [rows[first : first + step] for first in range(0, len(rows), step)]


def _is_whole(rows: NDArray[Any], codec: str) -> bool:
    low, high = np.iinfo(STORAGE_DTYPES[codec]).min, np.iinfo(STORAGE_DTYPES[codec]).max
    return all(
        bool(((block >= low) & (block <= high) & (block == np.floor(block))).all())
        for block in _blocks(rows)
    )


def _fits_half(rows: NDArray[Any]) -> bool:
    least, most = _HALF_RANGE
    for block in _blocks(rows):
        largest = np.abs(block).max(axis=1)
        if not ((largest <= most) & ((largest >= least) | (largest == 0))).all():
            return False
    return True
