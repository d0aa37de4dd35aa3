"""``blocklistd feeds``: the state of every feed, and what to do with a version in quarantine.

The state comes from the data folder alone, the same values as under /v1/feeds. ``accept`` and ``reject`` decide about
the body a feed holds in quarantine; the next refresh does what was decided.
"""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.catalogue.feed import is_feed_id
from blocklistd.cli import with_settings
from blocklistd.cli.progress import clipped, print_table
from blocklistd.collect.state import read_state, read_states
from blocklistd.errors import NoSnapshot, SnapshotCorrupt, UsageError
from blocklistd.index.snapshot import Snapshot
from blocklistd.units import counted, format_moment, round_duration
from blocklistd.web.feeds import feed_statuses
from blocklistd.web.notices import CatalogueFeed, CatalogueNotice, Notices

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from blocklistd.catalogue import Feed
    from blocklistd.collect.state import Held
    from blocklistd.settings import Settings
    from blocklistd.web.feeds import FeedStatus


class FeedsGroup(click.Group):
    """``feeds [FEED]...`` shows; only the names of its own commands are anything else."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` in front of what names no command."""
        if not args or args[0] not in {*self.commands, "-h", "--help"}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=FeedsGroup, subcommand_metavar="[FEED]... | COMMAND [ARGS]...")
def command() -> None:
    """Show the state of every feed, or decide about a version in quarantine.

    Without a command the feeds are shown, those named or all; blocklistd feeds show --help tells its options.

    \b
    Examples:
      blocklistd feeds
      blocklistd feeds tor_bulk_exit --json
      blocklistd feeds accept tor_bulk_exit --reason "they confirmed the clean-up"
      blocklistd feeds reject tor_bulk_exit --reason "half of it is missing"
    """  # noqa: D301


@command.command("show", short_help="Show the state of every feed, or of those named.")
@click.argument("names", nargs=-1, metavar="[FEED]...")
@click.option("--all", "show_all", is_flag=True, help="Also show feeds that are off.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, objects as under /v1/feeds.")
@with_settings("config", "data", "use")
def show(settings: Settings, names: tuple[str, ...], show_all: bool, as_json: bool) -> int:
    """Show the state of every feed: entries in force, age, last fetch, why it failed, was refused or is in quarantine.

    Exit status: 0; 2 if a named feed is not in the catalogue.
    """
    catalogue = load_catalogue(settings.config)
    enabled = {feed.id for feed in catalogue.enabled(settings.use)}
    if unknown := set(names) - {feed.id for feed in catalogue.feeds}:
        raise UsageError(f"no feed is called {', '.join(sorted(unknown))}: blocklistd feeds --all names all")
    states = read_states(settings.data)
    try:
        with Snapshot.open_current(settings.data) as snapshot:
            records = snapshot.feeds
    except (NoSnapshot, SnapshotCorrupt) as error:
        records = ()
        click.echo(f"blocklistd: {error}", err=True)
    shown = [feed for feed in catalogue.feeds if (feed.id in names if names else show_all or feed.id in enabled)]
    notices = Notices(catalogue=CatalogueNotice(feeds=tuple(map(CatalogueFeed.of, shown))))
    statuses = {status.id: status for status in feed_statuses(records, states, notices, time.time())}
    rows = [(feed, statuses[feed.id], feed.id in enabled) for feed in shown]
    if as_json:
        click.echo(json.dumps([{**status.as_body(), "enabled": on} for _, status, on in rows], indent=1))
        return 0
    table = [("FEED", "CATEGORY", "STATE", "ENTRIES", "RANGES", "FETCHED", "REASON")]
    table += [
        (
            feed.id,
            status.category or status.kind,
            _state(feed, status, on=on),
            f"{status.entries:,}",
            f"{status.ranges:,}",
            "never" if status.age is None else f"{round_duration(status.age)} ago",
            clipped(status.reason),
        )
        for feed, status, on in rows
    ]
    print_table(table, right=(3, 4))
    waiting = {feed.id: status.quarantine for feed, status, on in rows if on and status.quarantine is not None}
    for sentence in _operators_word(settings, waiting, [feed.id for feed in shown]):
        click.echo(sentence, err=True)
    return 0


def _operators_word(settings: Settings, waiting: Mapping[str, Held], shown: Collection[str]) -> Iterator[str]:
    """What the operator has to decide or has decided: about versions in quarantine, feeds taken out, and the pin."""
    from blocklistd.state.database import Database
    from blocklistd.state.overrides import read_overrides
    from blocklistd.state.pins import read_pin
    from blocklistd.state.quarantine import decided

    with Database.open_existing(settings.data) or nullcontext() as database:
        for feed, held in waiting.items():
            decision = decided(database, feed, held.digest) if database else None
            if decision is not None:
                yield f"{feed}: {decision.decision}ed by {decision.author}, the next refresh heeds it"
                continue
            where = ", ".join(str(part.path) for part in held.parts)
            yield f"{feed}: {counted(held.entries, 'entry')} of {format_moment(held.since)} wait in {where}"
            yield f"  look at them, then: blocklistd feeds accept {feed} --reason TEXT, or reject"
        for entry in read_overrides(database, time.time()) if database else ():
            if (feed := entry.key.removeprefix("feed:")) != entry.key and feed in shown:
                yield f"{feed}: counts for nothing, by the override of {entry.author}: {entry.reason}"
        if database and (pin := read_pin(database)) is not None:
            yield f"{pin.sentence}; refreshes publish nothing until blocklistd rollback --lift"


def _state(feed: Feed, status: FeedStatus, *, on: bool) -> str:
    """One word or two for the table."""
    if not on:
        return "ended" if feed.status == "ended" else "off"
    waiting = status.quarantine is not None and status.state != "quarantined"
    notes = {"quarantined": waiting, "dropped": status.dropped, "stale": status.stale and not status.dropped}
    notes["frozen"] = bool(status.frozen_since)
    return ", ".join([status.state, *(word for word, true in notes.items() if true)])


@command.command("accept", short_help="Believe the version that a feed holds in quarantine.")
@click.argument("feed")
@click.option("--reason", required=True, help="Why; it is kept in the audit log and shown with the feed.")
@with_settings("data")
def accept(settings: Settings, feed: str, reason: str) -> int:
    """Believe the version that FEED holds in quarantine: the next refresh puts it in force without fetching.

    It is what later versions are compared with. Exit status: 0; 2 if none is in quarantine.
    """
    return _decide(settings, feed, "accept", reason)


@command.command("reject", short_help="Do not believe it, and do not ask about it again.")
@click.argument("feed")
@click.option("--reason", required=True, help="Why; it is kept in the audit log and shown with the feed.")
@with_settings("data")
def reject(settings: Settings, feed: str, reason: str) -> int:
    """Do not believe the version that FEED holds in quarantine, and do not ask about that very version again.

    The version before stays in force. Exit status: 0; 2 if none is in quarantine.
    """
    return _decide(settings, feed, "reject", reason)


def _decide(settings: Settings, feed: str, choice: Literal["accept", "reject"], reason: str) -> int:
    from blocklistd.state.audit import local_actor
    from blocklistd.state.database import Database
    from blocklistd.state.quarantine import Quarantined, decide

    held = read_state(settings.data, feed).held if is_feed_id(feed) else None
    if held is None:
        raise UsageError(f"{feed!r} holds no version in quarantine: blocklistd feeds shows which feeds do")
    if not reason.strip():
        raise UsageError("--reason is empty: say why, for who reads it later")
    actor, note = local_actor(), reason.strip()
    decision = Quarantined(feed, held.digest, held.reason, held.since, choice, actor.name, note, time.time())
    with Database.open(settings.data) as database:
        decide(database, decision, actor)
    size = f" with {counted(held.entries, 'entry')}" if held.entries else ""  # not known of what came back rejected
    what = f"{feed}: the version of {format_moment(held.since)}{size} is {choice}ed"
    click.echo(f"{what}; the next refresh heeds it; to have it now: blocklistd refresh {feed}")
    return 0
