"""``blocklistd lookup``: which lists name these addresses? Exit status as grep's."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from blocklistd.addresses import format_address
from blocklistd.cli import with_settings
from blocklistd.errors import BadAddress, StorageFailed, UsageError
from blocklistd.index.listing import Listing
from blocklistd.index.snapshot import Snapshot, address_of
from blocklistd.units import parse_past

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from blocklistd.index.history import History
    from blocklistd.settings import Settings

CHUNK = 2**18
LONGEST_LINE = 1_000


@click.command()
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--networks", is_flag=True, help="Also show the network in which each list names the address.")
@click.option("--listed", "only_listed", is_flag=True, help="Print only addresses that are listed.")
@click.option("--as-of", "as_of", metavar="TIME", help="As it was then: 2026-11-01T12:00:00Z, or 3d (days ago).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_settings("data")
def command(
    settings: Settings,
    addresses: tuple[str, ...],
    networks: bool,
    only_listed: bool,
    as_of: str | None,
    as_json: bool,
) -> int:
    """Name the lists that hold an address; without ADDRESS, read them from standard input, one a line.

    Exit status: 0 some address is listed, 1 none is, 2 trouble (a malformed address, no snapshot).

    \b
    Examples:
      blocklistd lookup 192.0.2.1 2001:db8::1
      blocklistd lookup --networks 192.0.2.1
      blocklistd lookup --as-of 3d 192.0.2.1
      cut -d' ' -f1 access.log | sort -u | blocklistd lookup --listed
    """  # noqa: D301
    if as_of is not None and networks:
        raise UsageError("--networks are those of now: leave it out with --as-of")
    if not addresses and sys.stdin.isatty():
        click.echo("reading addresses from standard input, one a line; end with Ctrl-D", err=True)
    some, trouble = False, False
    with _as_trouble(), Snapshot.open_current(settings.data) as snapshot, _past(settings, snapshot, as_of) as past:
        if snapshot.problem:
            click.echo(f"blocklistd: {snapshot.problem}", err=True)
        for questions in _batches(addresses):
            lines = []
            for question, answer in _answers(snapshot, questions, past):
                if isinstance(answer, BadAddress):
                    trouble = True
                    click.echo(f"blocklistd: {answer}", err=True)
                    continue
                some = some or answer.listed
                if answer.listed or not only_listed:
                    lines.append(_text(snapshot, question, answer, networks=networks, as_json=as_json))
            if lines:
                click.echo("\n".join(lines))
    return 2 if trouble else 0 if some else 1


@contextmanager
def _as_trouble() -> Iterator[None]:
    """Of a data folder that cannot be read, exit status 1 would mean not listed: raise UsageError instead."""
    try:
        yield
    except StorageFailed as error:
        raise UsageError(str(error)) from error


class _Past(NamedTuple):
    """The state of an earlier time. then: the generation in force; catalogue: the order of feeds in an answer."""

    history: History
    then: int
    catalogue: tuple[str, ...]

    def listing(self, question: str, present: Listing) -> Listing:
        """What the answer was."""
        return Listing(self.history.feeds_at(*address_of(question), self.then, present.feeds, self.catalogue))


@contextmanager
def _past(settings: Settings, snapshot: Snapshot, as_of: str | None) -> Iterator[_Past | None]:
    """The past that ``--as-of`` names, None without it. Raises UsageError, StorageFailed."""
    if as_of is None:
        yield None
        return
    from blocklistd.index.history import History

    try:
        moment = parse_past(as_of, time.time())
    except ValueError as error:
        raise UsageError(f"--as-of: {error}") from None
    with History.open(settings.data, snapshot.generation) as history:
        then = history.generation_at(moment)
        yield _Past(history, then, tuple(record.id for record in snapshot.feeds))


def _batches(addresses: Sequence[str]) -> Iterator[list[str]]:
    """The arguments, or what standard input holds: as it comes where somebody is still writing."""
    if addresses:
        yield list(addresses)
        return
    stream: BinaryIO = sys.stdin.buffer
    rest = b""
    while chunk := stream.read1(CHUNK):  # type: ignore[attr-defined]  # a BufferedReader has it
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[:LONGEST_LINE]
        yield _texts(lines)
    yield _texts([rest])


def _texts(lines: Iterable[bytes]) -> list[str]:
    texts = (line[:LONGEST_LINE].decode(errors="replace").strip() for line in lines)
    return [text for text in texts if text]


def _answers(
    snapshot: Snapshot, questions: list[str], past: _Past | None
) -> Iterator[tuple[str, Listing | BadAddress]]:
    for question, answer in _answers_now(snapshot, questions):
        yield question, answer if past is None or isinstance(answer, BadAddress) else past.listing(question, answer)


def _answers_now(snapshot: Snapshot, questions: list[str]) -> Iterator[tuple[str, Listing | BadAddress]]:
    try:
        yield from zip(questions, snapshot.lookup_many(questions), strict=True)
    except BadAddress:
        for question in questions:
            try:
                yield question, snapshot.lookup(question)
            except BadAddress as error:
                yield question, error


def _text(snapshot: Snapshot, question: str, listing: Listing, *, networks: bool, as_json: bool) -> str:
    ip = format_address(*address_of(question))
    named = snapshot.networks_naming(question) if networks and listing.listed else []
    if as_json:
        document: dict[str, object] = {"ip": ip, "listed": listing.listed, "feeds": list(listing.feeds)}
        if networks:
            document["networks"] = {row.feed: row.network for row in named}
        return json.dumps(document)
    if not listing.listed:
        return f"{ip}  not listed"
    if networks:
        return f"{ip}  " + ", ".join(f"{row.feed} ({row.network})" for row in named)
    return f"{ip}  " + ", ".join(listing.feeds)
