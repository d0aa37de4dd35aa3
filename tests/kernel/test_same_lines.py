"""The kernel reads every block of list text as ``collect.ranges.scan_lines`` does."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocklistd import kernel
from blocklistd.collect.formats.rows import blocks, plain_text
from blocklistd.collect.ranges import LineScan, scan_lines
from tests.collect.test_ranges import text_lines
from tests.kernel.twins import outcomes, using

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus"

odd_bytes = st.binary(max_size=40) | st.text("0123456789./,:#; \t\n", max_size=60).map(str.encode)


def same(block: bytes) -> bool:
    """Whether both give equal arrays of equal types."""
    with using(kernel.PURE):
        pure = scan_lines(block)
    with using(kernel.COMPILED):
        compiled = scan_lines(block)
    columns = [(getattr(pure, name), getattr(compiled, name)) for name in LineScan._fields]
    return all(one.dtype == other.dtype and np.array_equal(one, other) for one, other in columns)


@settings(max_examples=600, deadline=None)
@given(st.lists(text_lines.map(str.encode) | odd_bytes, max_size=8).map(b"\n".join))
@example(b"192.0.2.1" + b" " * 63 + b"x")
@example(b"192.0.2.1" + b" " * 64 + b"x")
@example(b"192.0.2.1" + b" " * 64 + b"\n192.0.2.2" + b"\t" * 65)
@example(b"192.0.2.1/0\n192.0.2.1/32\n192.0.2.1/33\n192.0.2.1/007\n192.0.2.1/")
@example(b"192.0.2.1,a:b\n192.0.2.1 a,b\n192.0.2.1 a:b\n192.0.2.1 1.2")
@example(b"1.2.3\n1.2.3.\n1.2.3.4.\n1.2.3.4.5\n.1.2.3\n1..2.3\n1.2.3.4/5/6\n0256.1.1.1")
def test_every_block_is_read_alike(text: bytes) -> None:
    """Equal entries, equal odd lines, equal bounds of lines."""
    assert same(text + b"\n")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real lists is not on this machine")
def test_every_real_list_is_read_alike() -> None:
    """All files of the corpus as text, whatever they are, block by block."""
    read = 0
    for path in sorted(path for path in CORPUS.rglob("*") if path.is_file()):
        body = path.read_bytes()
        text = plain_text(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
        for _, block in blocks(text):
            assert same(block), path.name
        read += len(text)
    assert read > 50 * 2**20


@pytest.mark.parametrize("block", [b"192.0.2.1", b"192.0.2.1\n192.0.2.2"])
def test_a_block_without_its_last_newline_is_refused_by_the_kernel(block: bytes) -> None:
    """Nothing is read behind the end of a block."""
    _, (kind, _) = outcomes(scan_lines, block)
    assert kind == "raised"


def arrays(count: int) -> list[np.ndarray[tuple[int], np.dtype[np.generic]]]:
    kinds = (np.int64, np.uint32, np.uint32, np.bool_, np.int64, np.int64, np.int64)
    return [np.zeros(count, kind) for kind in kinds]


def test_arrays_that_do_not_fit_are_refused() -> None:
    """Too few items, another type, another order of bytes, read-only, strided, misaligned: refused."""
    with using(kernel.COMPILED):
        assert kernel.active is not None
        scan = kernel.active.scan_lines
        block = b"192.0.2.1\n192.0.2.2\n"
        assert scan(block, *arrays(2)) == (2, 2, 0)
        read_only = np.zeros(2, np.int64)
        read_only.flags.writeable = False
        wrong = [
            np.zeros(1, np.int64),
            np.zeros(2, np.uint64),
            np.zeros(2, np.float64),
            np.zeros(2, ">i8"),
            np.zeros((2, 1), np.int64),
            np.zeros(4, np.int64)[::2],
            np.frombuffer(bytearray(17), np.int64, offset=1),
            read_only,
        ]
        for place in (0, 4, 5, 6):
            for array in wrong:
                others = arrays(2)
                others[place] = array
                with pytest.raises((ValueError, BufferError)):
                    scan(block, *others)
        with pytest.raises(TypeError):
            scan(block)
        with pytest.raises(TypeError):
            scan("192.0.2.1\n", *arrays(2))
