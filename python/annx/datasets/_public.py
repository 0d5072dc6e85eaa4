"""Public data sets: where they are, and what they are for."""

from __future__ import annotations

from dataclasses import dataclass

_ANN_BENCHMARKS = "http://ann-benchmarks.com/{}.hdf5"
_FACEBOOK = "https://dl.fbaipublicfiles.com/billion-scale-ann-benchmarks/"
_YANDEX = "https://storage.yandexcloud.net/yandex-research/ann-datasets/"
_MICROSOFT = "https://comp21storage.z5.web.core.windows.net/comp21/"


@dataclass(frozen=True, slots=True)
class PublicSet:
    """One public data set.

    Attributes
    ----------
    files : dict of str to str
        The URL of each file, by the name under which it is kept: one ``.hdf5``, or
        ``base``, ``query`` and ``gt``.
    rows : int
        Where a file holds more, only so many are downloaded.
    sha256 : dict of str to str
        Checksums, as far as the publisher or a trusted copy tells them; by the name of the
        file.
    """

    name: str
    rows: int
    dim: int
    dtype: str
    metric: str
    files: dict[str, str]
    sha256: dict[str, str]


def _hdf5(name: str, rows: int, dim: int, metric: str, dtype: str = "float32") -> PublicSet:
    url = _ANN_BENCHMARKS.format(name)
    return PublicSet(name, rows, dim, dtype, metric, {f"{name}.hdf5": url}, {})


def _bins(
    name: str,
    rows: int,
    dim: int,
    metric: str,
    dtype: str,
    base: str,
    query: str,
    truth: str,
) -> PublicSet:
    suffix = {"float32": "fbin", "uint8": "u8bin", "int8": "i8bin"}[dtype]
    files = {f"base.{suffix}": base, f"query.{suffix}": query, "gt.ibin": truth}
    return PublicSet(name, rows, dim, dtype, metric, files, {})


_SETS = (
    _hdf5("fashion-mnist-784-euclidean", 60_000, 784, "l2"),
    _hdf5("mnist-784-euclidean", 60_000, 784, "l2"),
    _hdf5("sift-128-euclidean", 1_000_000, 128, "l2"),
    _hdf5("gist-960-euclidean", 1_000_000, 960, "l2"),
    _hdf5("glove-25-angular", 1_183_514, 25, "cosine"),
    _hdf5("glove-50-angular", 1_183_514, 50, "cosine"),
    _hdf5("glove-100-angular", 1_183_514, 100, "cosine"),
    _hdf5("glove-200-angular", 1_183_514, 200, "cosine"),
    _hdf5("nytimes-256-angular", 290_000, 256, "cosine"),
    _hdf5("deep-image-96-angular", 9_990_000, 96, "cosine"),
    _hdf5("lastfm-64-dot", 292_385, 65, "ip"),
    _hdf5("coco-i2i-512-angular", 113_287, 512, "cosine"),
    _hdf5("coco-t2i-512-angular", 113_287, 512, "cosine"),
    _hdf5("sift-256-hamming", 1_000_000, 256, "hamming", "bool"),
    _hdf5("word2bits-800-hamming", 399_000, 800, "hamming", "bool"),
    _bins(
        "bigann-10M",
        10_000_000,
        128,
        "l2",
        "uint8",
        f"{_FACEBOOK}bigann/base.1B.u8bin",
        f"{_FACEBOOK}bigann/query.public.10K.u8bin",
        f"{_FACEBOOK}GT_10M/bigann-10M",
    ),
    _bins(
        "deep-10M",
        10_000_000,
        96,
        "l2",
        "float32",
        f"{_YANDEX}DEEP/base.1B.fbin",
        f"{_YANDEX}DEEP/query.public.10K.fbin",
        f"{_FACEBOOK}GT_10M/deep-10M",
    ),
    _bins(
        "text2image-10M",
        10_000_000,
        200,
        "ip",
        "float32",
        f"{_YANDEX}T2I/base.1B.fbin",
        f"{_YANDEX}T2I/query.public.100K.fbin",
        f"{_FACEBOOK}GT_10M/text2image-10M",
    ),
    _bins(
        "msturing-10M",
        10_000_000,
        100,
        "l2",
        "float32",
        f"{_MICROSOFT}MSFT-TURING-ANNS/base1b.fbin",
        f"{_MICROSOFT}MSFT-TURING-ANNS/query100K.fbin",
        f"{_MICROSOFT}MSFT-TURING-ANNS/msturing-gt-10M",
    ),
)

#: All public sets, by name.
PUBLIC: dict[str, PublicSet] = {found.name: found for found in _SETS}
