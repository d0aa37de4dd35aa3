"""``blocklistd override``: the operator's own entries, allow or deny, in ``state.db`` of the data folder."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.errors import NoSnapshot, SnapshotCorrupt, StorageFailed, UsageError
from blocklistd.state import FILE
from blocklistd.state.audit import local_actor
from blocklistd.state.database import Database
from blocklistd.state.overrides import make_override, parse_key, put_override, read_overrides, remove_override
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklistd.settings import Settings

FEED: Final = "feed:"


@click.group()
def command() -> None:
    """Allow or deny an address, network, ASN or country, or take a feed out.

    KEY is 192.0.2.1, 192.0.2.0/24, AS64500, DE (a country) or feed:ID. The most exact entry wins. Entries count in
    reports and whatever is made of them, in every worker within a second; lookup shows what the lists say regardless.

    \b
    Examples:
      blocklistd override allow 192.0.2.0/24 --reason "our office"
      blocklistd override deny AS64500 --reason "scrapers, ticket 17" --expires 30d
      blocklistd override allow feed:some_list --reason "wrong since Monday" --expires 2d
      blocklistd override list
      blocklistd override remove 192.0.2.0/24
    """  # noqa: D301


def _entry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        with_settings("data"),
        click.option("--expires", metavar="WHEN", help="30m, 7d, or a moment such as 2026-12-31T00:00:00Z."),
        click.option("--author", metavar="NAME", help="Who stands for it; your login if left out."),
        click.option("--reason", metavar="TEXT", required=True, help="Why, for whoever finds it later."),
        click.argument("key"),
    ):
        function = option(function)
    return function


@command.command("allow", short_help="Score 0 and verdict allow, whatever lists say; or take a feed out.")
@_entry_options
def allow(settings: Settings, key: str, reason: str, author: str | None, expires: str | None) -> int:
    """Score 0 and verdict allow, whatever lists say; for feed:ID: the feed counts for nothing."""
    return _put(settings, key, "allow", reason, author, expires)


@command.command("deny")
@_entry_options
def deny(settings: Settings, key: str, reason: str, author: str | None, expires: str | None) -> int:
    """Score 100 and verdict block, whatever lists say."""
    return _put(settings, key, "deny", reason, author, expires)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@with_settings("data")
def show(settings: Settings, as_json: bool) -> int:
    """Show the entries in force."""
    database = Database.open_existing(settings.data)
    entries = []
    if database is not None:
        with database:
            entries = read_overrides(database, time.time())
    if as_json:
        click.echo(json.dumps([entry.as_document() for entry in entries], indent=1))
    elif not entries:
        click.echo(f"no overrides in {settings.data / FILE}", err=True)
    else:
        rows = [("KEY", "ACTION", "UNTIL", "SINCE", "AUTHOR", "REASON")]
        rows += [
            (
                e.key,
                e.action,
                format_moment(e.expires or 0) or "for good",
                format_moment(e.created) or "",
                e.author,
                e.reason,
            )
            for e in entries
        ]
        print_table(rows)
    return 0


@command.command("remove")
@click.argument("key")
@with_settings("data")
def remove(settings: Settings, key: str) -> int:
    """Take the entry of a key away."""
    canonical = parse_key(key).text
    database = Database.open_existing(settings.data)
    removed = None
    if database is not None:
        with database:
            removed = remove_override(database, canonical, local_actor(), time.time())
    if removed is None:
        raise UsageError(f"there is no override {canonical} in {settings.data / FILE}")
    click.echo(f"removed: {removed.action} {removed.key} ({removed.reason})")
    return 0


def _put(settings: Settings, key: str, action: str, reason: str, author: str | None, expires: str | None) -> int:
    actor = local_actor()
    entry = make_override(key, action, reason, author, expires, actor=actor, now=time.time())
    with Database.open(settings.data) as database:
        former = put_override(database, entry, actor)
    click.echo(f"{entry.action} {entry.key}, {_until(entry.expires)}, in {settings.data / FILE}")
    if former is not None:
        click.echo(f"in place of: {former.action}, {_until(former.expires)} ({former.author}: {former.reason})")
    if entry.key.startswith(FEED) and not _in_snapshot(settings, entry.key.removeprefix(FEED)):
        click.echo(f"note: the snapshot in force has no {entry.key}; blocklistd feeds --all names all", err=True)
    return 0


def _in_snapshot(settings: Settings, feed: str) -> bool:
    """Whether the snapshot in force holds a feed; True where there is none to ask."""
    from blocklistd.index.snapshot import Snapshot

    try:
        with Snapshot.open_current(settings.data) as snapshot:
            return any(record.id == feed for record in snapshot.feeds)
    except (NoSnapshot, SnapshotCorrupt, StorageFailed):
        return True


def _until(expires: float | None) -> str:
    return "for good" if expires is None else f"until {format_moment(expires)}"
