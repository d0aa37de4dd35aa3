"""``blocklistd rollback``: go back to an earlier snapshot and stay with it, or let refreshes publish again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.errors import UsageError
from blocklistd.refresh.rollback import kept_snapshots, roll_back
from blocklistd.state.audit import local_actor
from blocklistd.state.database import Database
from blocklistd.state.pins import lift_pin, read_pin
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from blocklistd.settings import Settings
    from blocklistd.state.pins import Pin


@click.command()
@click.argument("snapshot", required=False, metavar="[ID]")
@click.option("--list", "show", is_flag=True, help="Show the snapshots that are kept, and change nothing.")
@click.option("--lift", is_flag=True, help="Take the pin away: the next refresh publishes again.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is shown wherever the pin is, and audited.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_settings("data", "history_days", "history_bytes")
def command(settings: Settings, snapshot: str | None, show: bool, lift: bool, reason: str, as_json: bool) -> int:
    """Go back to a kept snapshot, the one before that in force unless ID names another, and pin it.

    Answers change in every worker within a second. While a snapshot is pinned, refreshes fetch and report but publish
    nothing; one that is under way neither, but the snapshot is in force only when you give the command again after it.
    Exit status: 0; 1 if a refresh is under way or the disk fails; 2 if there is no such snapshot.

    \b
    Examples:
      blocklistd rollback --list
      blocklistd rollback --reason "a list names half the world"
      blocklistd rollback 20261121T190000Z-0123abcd --reason "the last one without it"
      blocklistd rollback --lift
    """  # noqa: D301
    if show + lift + (snapshot is not None) > 1:
        raise UsageError("give an ID, --list or --lift, one of them")
    if show:
        return _show(settings, as_json=as_json)
    if lift:
        return _lift(settings, as_json=as_json)
    done = roll_back(settings, snapshot, reason or "no reason given", local_actor(), time.time())
    for note in done.notes:
        click.echo(f"blocklistd: {note}", err=True)
    if as_json:
        document = {"snapshot": done.snapshot, "published": done.published, "pin": done.pin.as_document()}
        click.echo(json.dumps(document))
    elif done.published:
        click.echo(f"{done.pin.snapshot} is in force again, as {done.snapshot}, and pinned")
    else:
        click.echo(f"{done.pin.snapshot} was in force already and is now pinned")
    return 0


def _show(settings: Settings, *, as_json: bool) -> int:
    pin = _pin(settings)
    found = kept_snapshots(settings.data)
    if as_json:
        rows = [asdict(kept) | {"built_at": format_moment(kept.built_at)} for kept in found]
        click.echo(json.dumps({"pin": pin.as_document() if pin else None, "snapshots": rows}, indent=1))
        return 0
    table = [("SNAPSHOT", "GENERATION", "BUILT", "FEEDS", "ENTRIES", "")]
    for kept in found:
        notes = ["in force"] if kept.in_force else []
        notes += [f"copy of {kept.rolled_back_to}"] if kept.rolled_back_to else []
        notes += ["pinned"] if pin and pin.snapshot == kept.id else []
        built = format_moment(kept.built_at) or ""
        table.append((kept.id, f"{kept.generation}", built, f"{kept.feeds}", f"{kept.entries:,}", ", ".join(notes)))
    print_table(table, right=(1, 3, 4))
    if pin:
        click.echo(f"{pin.sentence}; refreshes publish nothing until blocklistd rollback --lift")
    return 0


def _lift(settings: Settings, *, as_json: bool) -> int:
    database = Database.open_existing(settings.data)
    pin = None
    if database is not None:
        with database:
            pin = lift_pin(database, local_actor(), time.time())
    if as_json:
        click.echo(json.dumps({"lifted": pin.as_document() if pin else None}))
    elif pin is None:
        click.echo("nothing is pinned", err=True)
    else:
        click.echo(f"{pin.snapshot} is no longer pinned: the next refresh publishes again")
    return 0


def _pin(settings: Settings) -> Pin | None:
    database = Database.open_existing(settings.data)
    if database is None:
        return None
    with database:
        return read_pin(database)
