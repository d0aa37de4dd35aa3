"""``blocklistd feeds``: the state of every feed, from the data folder alone; the same values as under /v1/feeds."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from blocklistd.catalogue import load_catalogue
from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.collect.state import read_states
from blocklistd.errors import NoSnapshot, SnapshotCorrupt, UsageError
from blocklistd.index.snapshot import Snapshot
from blocklistd.units import round_duration
from blocklistd.web.feeds import feed_statuses
from blocklistd.web.notices import CatalogueFeed, CatalogueNotice, Notices

if TYPE_CHECKING:
    from blocklistd.catalogue import Feed
    from blocklistd.settings import Settings
    from blocklistd.web.feeds import FeedStatus


@click.command()
@click.argument("names", nargs=-1, metavar="[FEED]...")
@click.option("--all", "show_all", is_flag=True, help="Also show feeds that are off.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, objects as under /v1/feeds.")
@with_settings("config", "data", "use")
def command(settings: Settings, names: tuple[str, ...], show_all: bool, as_json: bool) -> int:
    """Show the state of every feed: entries in force, age, last fetch, why it failed or was refused.

    Exit status: 0; 2 if a named feed is not in the catalogue.

    \b
    Examples:
      blocklistd feeds
      blocklistd feeds tor_bulk_exit --json
    """  # noqa: D301
    catalogue = load_catalogue(settings.config)
    enabled = {feed.id for feed in catalogue.enabled(settings.use)}
    if unknown := set(names) - {feed.id for feed in catalogue.feeds}:
        raise UsageError(f"no feed is called {', '.join(sorted(unknown))}")
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
            status.reason,
        )
        for feed, status, on in rows
    ]
    print_table(table, right=(3, 4))
    return 0


def _state(feed: Feed, status: FeedStatus, *, on: bool) -> str:
    """One word or two for the table."""
    if not on:
        return "ended" if feed.status == "ended" else "off"
    return f"{status.state}, stale" if status.stale else status.state
