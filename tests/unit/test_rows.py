"""What callers pass as vectors, and what reaches a core."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from annx._rows import to_rows
from annx.errors import DimensionError, DtypeError, NonFiniteError


class OnlyDlpack:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnlyInterface:
    def __init__(self, array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


class Subclass(np.ndarray):
    pass


def as_subclass(array):
    return array.view(Subclass)


def as_bf16(x):
    """The uint16 words of float32 values that bfloat16 holds."""
    return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 4), dtype=np.float32)


def test_row_major_float32_is_not_copied(x):
    assert to_rows(x, 4, "f32") is x
    assert np.shares_memory(to_rows(OnlyDlpack(x), 4, "f32"), x)
    x.flags.writeable = False
    assert to_rows(x, 4, "f32") is x
    assert np.shares_memory(to_rows(x[2], 4, "f32"), x)
    assert to_rows(x[:, :2], 2, "f32").flags.carray


@pytest.mark.parametrize("wrap", [OnlyDlpack, OnlyInterface, memoryview, as_subclass])
def test_array_protocols(x, wrap):
    got = to_rows(wrap(x), 4, "f32")
    assert type(got) is np.ndarray and np.array_equal(got, x)


def test_arrow(x):
    pyarrow = pytest.importorskip("pyarrow")
    assert np.array_equal(to_rows(pyarrow.array(x[0]), 4, "f32"), x[:1])
    fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(x.ravel()), 4)
    lists = pyarrow.array(x.tolist())
    tensors = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(x)
    for array in (fixed, lists, tensors, pyarrow.chunked_array([fixed[:2], fixed[2:]])):
        assert np.array_equal(to_rows(array, 4, "f32"), x)
        assert np.array_equal(to_rows(array[1:3], 4, "f32"), x[1:3])
    assert to_rows(lists[:0], 4, "f32").shape == (0, 4)
    with pytest.raises(DtypeError, match="vector in every row, got null"):
        to_rows(pyarrow.array([[1.0, 2.0], None]), 2, "f32")
    with pytest.raises(DimensionError, match="rows of equal length"):
        to_rows(pyarrow.array([[1.0, 2.0], [1.0]]), 2, "f32")


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int64, np.uint16, np.float16, ">f8", ">i4"]
)
def test_numbers_of_any_type(dtype):
    x = np.arange(12).reshape(3, 4).astype(dtype)
    for codec, words in [
        ("f32", None),
        ("f16", None),
        ("bf16", as_bf16),
        ("i8", None),
        ("u8", None),
    ]:
        got = to_rows(x, 4, codec)
        want = np.arange(12).reshape(3, 4)
        assert np.array_equal(got, words(want) if words else want)
        assert got.dtype.isnative and got.flags.carray


def test_shapes(x):
    assert to_rows(x[0], 4, "f32").shape == (1, 4)
    assert to_rows(x[0].tolist(), 4, "f32").shape == (1, 4)
    assert to_rows([], 4, "f32").shape == (0, 4)
    assert to_rows(np.empty((0, 4)), 4, "f16").shape == (0, 4)
    with pytest.raises(DimensionError, match="expected dim 4, got 3"):
        to_rows(np.empty((0, 3)), 4, "f32")


def test_columns_and_reversed_rows(x):
    for view in (x.T.copy().T, x[::-1], x[:, ::-1], x[::2], np.asfortranarray(x)):
        got = to_rows(view, 4, "f32")
        assert np.array_equal(got, view) and got.flags.c_contiguous


def test_unaligned():
    raw = np.zeros(33, np.uint8)[1:].view(np.float32).reshape(2, 4)
    assert not raw.flags.aligned and to_rows(raw, 4, "f32").flags.aligned


def round_to_bf16(values):
    """Nearest, ties to even, by looking at both neighbours in float64."""
    result = []
    for value in np.asarray(values, np.float64).ravel():
        bits = np.array([value], np.float32).view(np.uint32)[0] >> np.uint32(16)
        near = [word for word in range(int(bits) - 1, int(bits) + 2) if word >= 0]
        exact = [
            float(np.array([word << 16], np.uint32).view(np.float32)[0].astype(np.float64))
            for word in near
        ]
        order = sorted(range(len(near)), key=lambda i: (abs(exact[i] - value), near[i] & 1))
        result.append(near[order[0]])
    return np.array(result, np.uint16).reshape(np.shape(values))


def test_bf16_rounds_to_nearest_even(rng):
    x = np.abs(rng.standard_normal((40, 8)))
    ties = (np.arange(320, dtype=np.uint32) * 65536 + 0x3F808000).view(np.float32)
    around = ties.astype(np.float64)
    for values in (
        x.astype(np.float32),
        x,
        ties.reshape(40, 8),
        (around * (1 + 1e-12)).reshape(40, 8),
        (around * (1 - 1e-12)).reshape(40, 8),
    ):
        assert np.array_equal(to_rows(values, 8, "bf16"), round_to_bf16(values))
        assert np.array_equal(to_rows(-values, 8, "bf16"), round_to_bf16(values) | 0x8000)


def test_bf16_keeps_nan_and_infinity_for_the_core_to_name():
    bits = np.array([[0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000]], np.uint32)
    words = to_rows(bits.view(np.float32), 4, "bf16")[0]
    assert all((word & 0x7F80) == 0x7F80 and word & 0x7F for word in words[:2])
    assert words[2:].tolist() == [0x7F80, 0xFF80]


def test_largest_bf16():
    largest = np.array([0x7F7F0000], np.uint32).view(np.float32)[0]
    assert to_rows([largest], 1, "bf16")[0, 0] == 0x7F7F
    with pytest.raises(NonFiniteError, match="row 0: .*bfloat16"):
        to_rows([np.finfo(np.float32).max], 1, "bf16")


def test_ml_dtypes_bfloat16(x):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = x.astype(ml_dtypes.bfloat16)
    assert np.array_equal(to_rows(half, 4, "bf16"), half.view(np.uint16))
    assert np.array_equal(to_rows(half, 4, "f32"), half.astype(np.float32))
    assert np.array_equal(to_rows(half[:, ::2], 2, "bf16"), half[:, ::2].view(np.uint16))


def test_torch(x):
    torch = pytest.importorskip("torch")
    assert np.array_equal(to_rows(torch.tensor(x), 4, "f32"), x)
    half = torch.tensor(x).to(torch.bfloat16)
    assert np.array_equal(to_rows(half, 4, "f32"), half.float().numpy())
    with pytest.raises(DtypeError, match=r"requires grad; detach\(\) it"):
        to_rows(torch.tensor(x, requires_grad=True), 4, "f32")


class FakeTensor:
    """Enough of a torch tensor for what torch itself is not needed for."""

    __module__ = "torch"

    def __init__(self, words, requires_grad=False):
        self._words = words
        self.requires_grad = requires_grad
        self.dtype = "torch.bfloat16"

    def view(self, dtype):
        return self._words.view(dtype)


def test_tensors_of_bf16_and_with_grad(x, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", np)
    words = as_bf16(x)
    assert np.array_equal(to_rows(FakeTensor(words), 4, "bf16"), words)
    with pytest.raises(DtypeError, match="requires grad"):
        to_rows(FakeTensor(words, requires_grad=True), 4, "bf16")


def test_unreachable_memory():
    class OnDevice:
        def __array__(self, *args, **kwargs):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    with pytest.raises(DtypeError, match="host memory, got .*OnDevice: can't convert cuda:0"):
        to_rows(OnDevice(), 4, "f32")


def test_bits():
    bits = np.random.default_rng(0).random((3, 16)) > 0.5
    packed = np.packbits(bits, axis=1)
    for form in (bits, packed, packed.tolist(), packed.astype(np.int64)):
        assert np.array_equal(to_rows(form, 16, "b1"), packed)
    assert to_rows(packed, 16, "b1") is packed
    assert to_rows([], 16, "b1").shape == (0, 2)


def test_whole_numbers_as_floats():
    assert to_rows([[-128.0, 127.0, -0.0]], 3, "i8").tolist() == [[-128, 127, 0]]
    assert to_rows(np.array([[0, 255]], np.float16), 2, "u8").tolist() == [[0, 255]]


@pytest.mark.parametrize("codec", ["f16", "bf16", "i8", "u8"])
def test_the_bad_row_is_named_beyond_the_first_block(codec):
    x = np.zeros((5000, 100))
    x[4321, 7] = 1e39
    with pytest.raises((NonFiniteError, DtypeError), match="row 4321: "):
        to_rows(x, 100, codec)
