"""``blocklistd feeds``: the state of every feed, from the data folder alone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.collect.state import read_states
from blocklistd.errors import NoSnapshot, SnapshotCorrupt
from blocklistd.index.snapshot import Snapshot
from blocklistd.units import round_duration

if TYPE_CHECKING:
    from blocklistd.catalogue import Feed
    from blocklistd.collect.state import FeedState
    from blocklistd.index.record import FeedRecord
    from blocklistd.settings import Settings


@click.command()
@click.argument("names", nargs=-1, metavar="[FEED]...")
@click.option("--all", "show_all", is_flag=True, help="Also show feeds that are off.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@with_settings("config", "data", "use")
def command(settings: Settings, names: tuple[str, ...], show_all: bool, as_json: bool) -> int:
    """Show the state of every feed: entries in force, age, last fetch, why it failed or was refused.

    Exit status: 0; 1 if a named feed is not in the catalogue.

    \b
    Examples:
      blocklistd feeds
      blocklistd feeds tor_bulk_exit --json
    """  # noqa: D301
    catalogue = load_catalogue(settings.config)
    enabled = {feed.id for feed in catalogue.enabled(settings.use)}
    if unknown := set(names) - {feed.id for feed in catalogue.feeds}:
        click.echo(f"blocklistd: no feed is called {', '.join(sorted(unknown))}", err=True)
        return 1
    states = read_states(settings.data)
    try:
        with Snapshot.open_current(settings.data) as snapshot:
            records = {record.id: record for record in snapshot.feeds}
    except (NoSnapshot, SnapshotCorrupt) as error:
        records = {}
        click.echo(f"blocklistd: {error}", err=True)
    shown = [feed for feed in catalogue.feeds if (feed.id in names if names else show_all or feed.id in enabled)]
    rows = [_row(feed, states.get(feed.id), records.get(feed.id), on=feed.id in enabled) for feed in shown]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return 0
    table = [("FEED", "CATEGORY", "STATE", "ENTRIES", "RANGES", "FETCHED", "REASON")]
    table += [
        (
            row["feed"],
            row["category"] or row["kind"],
            row["state"],
            f"{row['entries']:,}",
            f"{row['ranges']:,}",
            f"{round_duration(row['age_seconds'])} ago" if row["age_seconds"] is not None else "never",
            row["reason"],
        )
        for row in rows
    ]
    print_table(table, right=(3, 4))
    return 0


def _row(feed: Feed, state: FeedState | None, record: FeedRecord | None, *, on: bool) -> dict[str, Any]:
    succeeded = state.succeeded_at if state else 0.0
    age = time.time() - succeeded if succeeded else None
    name: str = state.outcome if state else "never"
    if not on:
        name = "ended" if feed.status == "ended" else "off"
    elif age is not None and age > feed.stale_after:
        name = f"{name}, stale"
    return {
        "feed": feed.id,
        "title": feed.title,
        "kind": feed.kind,
        "category": feed.category,
        "state": name,
        "entries": record.unique if record else 0,
        "ranges": record.v4 + record.v6 if record else 0,
        "rejected": record.rejected if record else 0,
        "rejects": [{"line": line, "text": text, "reason": reason} for line, text, reason in record.rejects]
        if record
        else [],
        "age_seconds": None if age is None else round(age),
        "failures": state.failures if state else 0,
        "reason": state.reason if state else "",
        "terms": feed.terms,
    }
