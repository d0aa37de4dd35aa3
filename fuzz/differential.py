"""Random inputs through the kernel and its pure twins; any difference ends the run with status 1 and the input.

Started by ``fuzz/__main__.py`` with a build that watches its memory. Takes the module's file, a seed and seconds.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import random
import sys
import time
from functools import partial
from importlib.machinery import ExtensionFileLoader
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "blocklistd.kernel._kernel"


def load(path: str) -> None:
    """Put a build in the place of the installed one, before anybody imports that."""
    loader = ExtensionFileLoader(NAME, path)
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[NAME] = module


if __name__ == "__main__":
    load(sys.argv[1])

from blocklistd import kernel  # noqa: E402 - after the build is in place
from blocklistd.addresses import parse_address  # noqa: E402
from blocklistd.collect.ranges import scan_lines  # noqa: E402
from blocklistd.index.flatten import covered_by_set, flatten  # noqa: E402
from blocklistd.index.intervals import Intervals, intervals4, merge  # noqa: E402
from blocklistd.index.patch import patch  # noqa: E402
from blocklistd.index.search import Segments4, Segments6, open_lookup  # noqa: E402
from blocklistd.index.snapshot import address_of  # noqa: E402
from blocklistd.networks import Networks  # noqa: E402
from blocklistd.web.bodies import Answers, tail_of  # noqa: E402
from blocklistd.web.hot import HotPath  # noqa: E402

BLOCK = b"Host: blocklistd.example\r\nAccept: */*\r\n\r\n"
PIECES = (
    *("192.0.2.1", "192.0.2.0/24", "2001:db8::", "::ffff:192.0.2.7", "255.255.255.255", "0", "00", "256", "1.2", "::"),
    *(":", ".", "/", "/32", "/33", " ", "\t", ",", ";", "#", "\n", "\n", "\r\n", "\0", "é", "ffff", "g", "-", "[", "]"),
    *("1:2:3:4:5:6:", "1:2:3:4:5:6:7:", "1.2.3.4", "::1:2:3:4:5:6", "0000:0000:0000:0000:0000:ffff:", "12345"),
)
REQUESTS = (b"GET /v1/ip/", b" HTTP/1.1\r\n", BLOCK, BLOCK, b"\r\n", b"\r\n\r\n", b"192.0.2.7", b"2001:DB8::7", b" ")


def outcome(call: Callable[..., Any], argument: object) -> tuple[str, Any]:
    """What a call gives or raises."""
    try:
        return "gave", call(argument)
    except (ValueError, TypeError, OverflowError) as error:
        return "raised", (type(error), str(error))


def some_text(rng: random.Random) -> str:
    """Pieces of addresses and lists, sometimes with a character changed."""
    text = "".join(rng.choices(PIECES, k=rng.randrange(1, 12)))
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + text[at + rng.randrange(2) :]
    return text


def some_request(rng: random.Random) -> bytes:
    """Whole requests, some of them damaged, or pieces of requests in any order."""
    data = b""
    for _ in range(rng.randrange(1, 5)):
        text = some_text(rng) if rng.random() < 0.3 else rng.choice(("192.0.2.7", "2001:DB8::7", "::1"))
        data += b"GET /v1/ip/" + text.encode(errors="replace") + b" HTTP/1.1\r\n" + BLOCK
    if rng.random() < 0.5:
        at = rng.randrange(len(data))
        data = data[:at] + rng.choice(REQUESTS) + data[at + rng.randrange(3) :]
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data


def both(argument: Any, call: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The outcome of the pure code and of the kernel."""
    former = kernel.choose(kernel.PURE)
    pure = outcome(call, argument)
    kernel.choose(former)
    return pure, outcome(call, argument)


def scanned(block: bytes) -> list[list[int]]:
    """A scan as lists."""
    return [column.tolist() for column in scan_lines(block)]


def columns(rng: random.Random) -> tuple[Segments4, Segments6]:
    """A small index of random segments, in memory of exactly its size."""
    four = sorted({0, *(rng.choice((rng.getrandbits(32), 0xC0000200 + rng.randrange(64))) for _ in range(40))})
    base = rng.choice((0, 2 << 124, 0x20010DB8 << 96, 0xF << 124))
    six = sorted({0, *(base + rng.getrandbits(rng.choice((8, 70, 120))) for _ in range(40))})
    root4 = np.searchsorted(np.array(four, np.uint64), np.arange(2**16 + 1, dtype=np.uint64) << np.uint64(16))
    slots = (np.arange(2**16 + 1, dtype=object) << 108) + (2 << 124)
    root6 = np.searchsorted(np.array(six, object), slots)
    kind = rng.choice((np.uint16, np.uint32))

    def section(**arrays: list[int] | np.ndarray[Any, Any]) -> Any:
        types = {"root": np.uint32, "starts": np.uint32, "high": np.uint64, "low": np.uint64, "sets": kind}
        types |= {"offsets": np.uint32, "members": np.uint16}
        return SimpleNamespace(arrays={name: np.array(a, types[name]).data for name, a in arrays.items()})

    def sets(count: int) -> dict[str, list[int]]:
        offsets = [0, 0, *range(1, 5)]
        return {"sets": [rng.randrange(5) for _ in range(count)], "offsets": offsets, "members": [0, 1, 2, 3]}

    feeds = ("a", "b", "c", "d")
    return (
        Segments4(section(root=root4, starts=four, **sets(len(four))), feeds),
        Segments6(
            section(root=root6, high=[s >> 64 for s in six], low=[s & 2**64 - 1 for s in six], **sets(len(six))), feeds
        ),
    )


def some_feeds(rng: random.Random) -> list[Intervals]:
    """Merged intervals of a few feeds, some of them crowded into one place."""
    feeds = []
    for _ in range(rng.choice((1, 3, 70))):
        base, width = rng.choice((0, 2**32 - 5000, rng.getrandbits(31))), rng.choice((50, 4000, 2**31))
        start = np.array([min(base + rng.randrange(width), 2**32 - 1) for _ in range(rng.randrange(40))], np.int64)
        reach = np.array([rng.choice((1, 2, 256, 2**24)) for _ in start], np.int64)
        feeds.append(merge(Intervals(start, np.minimum(start + reach, 2**32))))
    return feeds


def flattened(feeds: list[Intervals]) -> list[list[int]]:
    """Segments as lists, and the same with the first feed changed into the last."""
    flat = flatten(feeds, 2**32)
    patched = patch(flat, {0: feeds[-1]}, len(feeds), 2**32)
    entries = Networks(4, feeds[0].start.astype(np.uint32), (feeds[0].end - 1).astype(np.uint32))
    columns = (*flat, *patched, *intervals4(entries), covered_by_set(flat, 2**32))
    return [column.tolist() for column in columns]


def some_question(rng: random.Random, four: Segments4, six: Segments6) -> Any:
    """An address near the start of a segment, or odd text."""
    if rng.random() < 0.2:
        return some_text(rng)
    if rng.random() < 0.5:
        return (rng.choice(four.starts) + rng.randrange(-1, 2)) % 2**32
    at = rng.randrange(len(six))
    return max(2**32, (six.high[at] << 64 | six.low[at]) + rng.randrange(-1, 2))


def some_questions(rng: random.Random, four: Segments4, six: Segments6) -> list[Any]:
    """Few or many; of any kind, or all of them good texts, or all of them numbers."""
    many = [some_question(rng, four, six) for _ in range(rng.choice((1, 3, 200)))]
    kind = rng.randrange(3)
    if kind == 0:
        return many
    numbers = [one for one in many if isinstance(one, int)]
    return [str(ipaddress.ip_address(one)) for one in numbers] if kind == 1 else numbers


def main(seed: int, seconds: float) -> int:
    """Run until the time is over."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        four, six = columns(rng)
        kernel.choose(kernel.PURE)
        pure = open_lookup(four, six, address_of)
        kernel.choose(kernel.COMPILED)
        compiled = open_lookup(four, six, address_of)
        known = frozenset({BLOCK})
        snapshot: Any = SimpleNamespace(id="s", lookup=pure.lookup, lookup_many=pure.lookup_many, searcher=pure)
        slow = HotPath(snapshot, known)
        slow_many = Answers(snapshot)
        fast_many = Answers(cast("Any", SimpleNamespace(id="s", lookup=compiled.lookup, searcher=compiled)))
        assert kernel.active is not None
        fast = kernel.active.HotPath(compiled, known, partial(tail_of, "s"))
        feeds = some_feeds(rng)
        expected, found = both(feeds, flattened)
        if expected != found:
            print(f"seed {seed}: for {feeds!r}\n  pure code {expected!r}\n  kernel    {found!r}")
            return 1
        for _ in range(300):
            text = some_text(rng)
            block = "".join(some_text(rng) for _ in range(rng.randrange(4))).encode(errors="replace") + b"\n"
            many = some_questions(rng, four, six)
            one = some_question(rng, four, six)
            data = some_request(rng)
            pairs = [
                (text, both(text, parse_address)),
                (block, both(block, scanned)),
                (one, (outcome(pure.lookup, one), outcome(compiled.lookup, one))),
                (many, (outcome(pure.lookup_many, many), outcome(compiled.lookup_many, many))),
                (many, (outcome(slow_many.items, many), outcome(fast_many.items, many))),
                (data, (outcome(slow.answer, data), outcome(fast.answer, data))),
            ]
            for given, (expected, found) in pairs:
                if expected != found:
                    print(f"seed {seed}: for {given!r}\n  pure code {expected!r}\n  kernel    {found!r}")
                    return 1
            rounds += 1
    print(f"seed {seed}: {rounds} rounds, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[2]), float(sys.argv[3])))
