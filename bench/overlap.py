"""How much lists say the same: what the default weights, groups and ``includes`` are argued from.

    python -m bench.overlap --data DIR [--feeds PATTERN]... [--pairs N] [--history OLD NEW]

Takes the snapshot of a data folder, prints one row a feed: how many IPv4 addresses it covers, which share of them at
least one, and at least two, independent lists of a risk confirm (sharing no group and no included list), and the list
that holds most of it. Then the pairs with the largest overlap that the catalogue calls independent. With ``--history``
instead: what of an older copy of a plain list is still on a newer one.
"""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blocklistd.index.layout import SECTIONS, Section
from blocklistd.index.snapshot import Snapshot
from blocklistd.reputation.score import HARMLESS, evidence_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from blocklistd.index.record import FeedRecord


class Confirmed(NamedTuple):
    """One feed. once, twice: share of its addresses that so many independent lists of a risk name as well."""

    feed: str
    addresses: int
    once: float
    twice: float
    nearest: str
    within: float


def counts_by_set(snapshot: Snapshot) -> list[tuple[tuple[str, ...], int]]:
    """Every distinct feed set and how many IPv4 addresses have it."""
    reference = snapshot.sections["v4"]
    section = Section(snapshot.folder / SECTIONS / reference.name, reference)
    starts = np.frombuffer(section.arrays["starts"], np.uint32).astype(np.int64)
    numbers = np.frombuffer(section.arrays["sets"], section.arrays["sets"].format)
    sizes = np.diff(np.append(starts, 2**32))
    totals = np.bincount(numbers, sizes.astype(np.float64))
    offsets = np.frombuffer(section.arrays["offsets"], section.arrays["offsets"].format)
    members = np.frombuffer(section.arrays["members"], section.arrays["members"].format)
    ids = [record.id for record in snapshot.feeds]
    return [
        (tuple(ids[member] for member in members[offsets[number] : offsets[number + 1]]), int(total))
        for number, total in enumerate(totals)
        if total and offsets[number + 1] > offsets[number]
    ]


def confirmed(
    records: Sequence[FeedRecord], counted: Sequence[tuple[tuple[str, ...], int]], wanted: Collection[str]
) -> Iterator[Confirmed]:
    """A row for each wanted feed."""
    evidence = evidence_of(records)
    risk = {record.id for record in records if record.category not in HARMLESS and record.category != "hosting"}
    for record in records:
        if record.id not in wanted:
            continue
        addresses = once = twice = 0
        shared: dict[str, int] = {}
        for feeds, count in counted:
            if record.id not in feeds:
                continue
            addresses += count
            others = [feed for feed in feeds if feed in risk and feed in wanted and feed != record.id]
            independent: set[str] = set()
            voices = 0
            for feed in others:
                shared[feed] = shared.get(feed, 0) + count
                if not evidence[feed] & (evidence[record.id] | independent):
                    independent |= evidence[feed]
                    voices += 1
            once, twice = once + count * (voices >= 1), twice + count * (voices >= 2)
        if addresses:
            nearest = max(shared, key=lambda feed: shared[feed], default="")
            part = shared.get(nearest, 0) / addresses
            yield Confirmed(record.id, addresses, once / addresses, twice / addresses, nearest, part)


def pairs(
    records: Sequence[FeedRecord], counted: Sequence[tuple[tuple[str, ...], int]], wanted: Collection[str]
) -> list[tuple[float, float, int, str, str]]:
    """(share of the smaller, Jaccard, addresses in both, one, other) of pairs with no evidence in common."""
    evidence = evidence_of(records)
    alone: dict[str, int] = {}
    both: dict[tuple[str, str], int] = {}
    for feeds, count in counted:
        chosen = [feed for feed in feeds if feed in wanted]
        for number, one in enumerate(chosen):
            alone[one] = alone.get(one, 0) + count
            for other in chosen[number + 1 :]:
                both[one, other] = both.get((one, other), 0) + count
    found = [
        (count / min(alone[one], alone[other]), count / (alone[one] + alone[other] - count), count, one, other)
        for (one, other), count in both.items()
        if not evidence[one] & evidence[other]
    ]
    return sorted(found, reverse=True)


def survival(old: Path, new: Path) -> tuple[int, int, int]:
    """Lines of two plain lists without comments: in the old, in the new, in both."""
    one, other = (
        {text for line in path.read_text(errors="replace").splitlines() if (text := line.partition("#")[0].strip())}
        for path in (old, new)
    )
    return len(one), len(other), len(one & other)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="data folder with a snapshot [default data]")
    parser.add_argument("--feeds", action="append", default=[], help="only feeds like this, * stands for anything")
    parser.add_argument("--pairs", type=int, default=25, help="show so many pairs of lists [default 25]")
    parser.add_argument(
        "--history", nargs=2, type=Path, metavar=("OLD", "NEW"), help="what of a plain list is still there later"
    )
    arguments = parser.parse_args()
    if arguments.history:
        before, after, kept = survival(*arguments.history)
        print(f"{before:,} -> {after:,}, still there {kept:,} ({kept / max(before, 1):.1%} of the old)")
        return
    with Snapshot.open_current(arguments.data) as snapshot:
        counted = counts_by_set(snapshot)
        patterns = arguments.feeds or ["*"]
        wanted = {
            record.id for record in snapshot.feeds if any(fnmatchcase(record.id, pattern) for pattern in patterns)
        }
        print(f"{'feed':40} {'addresses':>13} {'by one':>7} {'by two':>7}  most of it in")
        for row in sorted(confirmed(snapshot.feeds, counted, wanted), key=lambda row: -row.once):
            nearest = f"{row.within:6.1%} in {row.nearest}"
            print(f"{row.feed:40} {row.addresses:>13,} {row.once:7.1%} {row.twice:7.1%}  {nearest}")
        print()
        for share, jaccard, count, one, other in pairs(snapshot.feeds, counted, wanted)[: arguments.pairs]:
            print(f"{share:7.1%} of the smaller, Jaccard {jaccard:6.1%}, {count:>12,}  {one}  {other}")


if __name__ == "__main__":
    main()
