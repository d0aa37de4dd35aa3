"""``blocklistd report``: how bad is this address, since when, why, and what to do? For people, or as JSON."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
import orjson

from blocklistd.cli import with_settings
from blocklistd.collect.state import read_states
from blocklistd.collect.text import printable
from blocklistd.errors import BadAddress
from blocklistd.index.snapshot import Snapshot
from blocklistd.reputation.assess import Assessor
from blocklistd.reputation.databases import Database as NetworkDatabase
from blocklistd.reputation.databases import check_databases
from blocklistd.reputation.host import read_host
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.overrides import Overrides
from blocklistd.reputation.policy import DEFAULT
from blocklistd.reputation.policy.load import load_policy
from blocklistd.reputation.suppression import Suppression
from blocklistd.state.database import Database
from blocklistd.state.overrides import read_overrides
from blocklistd.state.pins import read_pin
from blocklistd.units import format_moment, round_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.reputation.mail_report import MailReport
    from blocklistd.reputation.report import Evidence, IpReport, Origin
    from blocklistd.settings import Settings


@click.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--profile", default=DEFAULT, metavar="NAME", help="The profile of the policy that judges.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as GET /v1/report answers.")
@with_settings("data", "policy", "mmdb", "mail_dns", "mail_resolver")
def command(settings: Settings, addresses: tuple[str, ...], profile: str, as_json: bool) -> int:
    """Report on IP or e-mail addresses: score with its arithmetic, lists, origin, and the verdict with its reason.

    Exit status: 0 reported, whatever the verdict; 2 trouble (a malformed IP address, an unknown profile, no snapshot).

    \b
    Examples:
      blocklistd report 192.0.2.1
      blocklistd report --profile payment --json 192.0.2.1 2001:db8::1
      blocklistd report --profile signup someone@example.org
    """  # noqa: D301
    trouble, gap = False, ""
    with ExitStack() as stack:
        snapshot = stack.enter_context(Snapshot.open_current(settings.data))
        if snapshot.problem:
            click.echo(f"blocklistd: {snapshot.problem}", err=True)
        assessor = make_assessor(settings, snapshot)
        assessor.policy.profile(profile)
        for address in addresses:
            try:
                report, lines = _report(settings, assessor, address, profile)
            except BadAddress as error:
                trouble = True
                click.echo(f"blocklistd: {error}", err=True)
                continue
            if as_json:
                click.echo(orjson.dumps(report.as_document()).decode())
            else:
                click.echo(gap + "\n".join(lines))
                gap = "\n"
    return 2 if trouble else 0


def _report(
    settings: Settings, assessor: Assessor, address: str, profile: str
) -> tuple[IpReport | MailReport, Iterator[str]]:
    """The report on an IP or e-mail address, and how a person reads it. Raises BadAddress."""
    if "@" in address:
        from blocklistd.cli import mail

        on_mail = mail.report_mail(settings, assessor, address, profile)
        return on_mail, mail.lines_of(on_mail)
    report = assessor.report(address, profile)
    return report, lines_of(report, time.time())


def make_assessor(settings: Settings, snapshot: Snapshot) -> Assessor:
    """The assessor that a worker with these settings would use now. Raises UsageError, StorageFailed."""
    policy = load_policy(settings.policy)
    check_databases(settings.mmdb)
    now = time.time()
    overrides, pinned = Overrides(), False
    if (database := Database.open_existing(settings.data)) is not None:
        with database:
            overrides, pinned = Overrides(read_overrides(database, now)), read_pin(database) is not None
    assessor = Assessor(
        snapshot,
        origins=Origins(snapshot, [NetworkDatabase(path) for path in settings.mmdb]),
        overrides=overrides,
        suppression=Suppression(policy.suppress, read_host(settings.data)),
        policy=policy,
    )
    assessor.confirm(read_states(settings.data), pinned=pinned)
    return assessor


def lines_of(report: IpReport, now: float) -> Iterator[str]:
    """The report for a person."""
    decision = report.decision
    inside = f" (IPv4 {report.embedded_ipv4} inside)" if report.embedded_ipv4 else ""
    shadow = f", would be {decision.would} without shadow mode" if decision.would else ""
    yield f"{report.ip}{inside}  {decision.verdict}, score {report.score}{shadow}"
    yield f"  decided by  {printable(decision.decided_by)}, profile {printable(decision.profile)}"
    if report.override:
        entry = report.override
        words = f"{printable(entry['reason'])} ({printable(entry['author'])})"
        yield f"  override    {entry['action']} {entry['key']}: {words}"
    if report.suppressed_by:
        yield f"  suppressed  {printable(report.suppressed_by)}"
    if report.listings:
        yield from _listing_lines(report, now)
    else:
        yield "  lists       none names it"
    if flags := [flag for flag, up in report.flags.items() if up]:
        yield f"  flags       {', '.join(flags)}"
    yield f"  origin      {_origin(report.origin)}"
    yield f"  connection  {report.origin.connection_type}: {printable(report.origin.connection_reason)}"
    if stale := report.snapshot["stale_feeds"]:
        yield f"  stale       {', '.join(stale)}"


def _listing_lines(report: IpReport, now: float) -> Iterator[str]:
    rows = sorted(report.listings, key=lambda row: -row.contribution)
    feed, category, network = (
        max(map(len, column)) for column in zip(*((row.feed, row.category, row.network) for row in rows), strict=True)
    )
    for number, row in enumerate(rows):
        head, sign = ("", "+") if number else ("lists", " ")
        what = f"{row.feed:{feed}}  {row.category:{category}}  {row.network:{network}}"
        yield f"  {head:10}{sign}{row.contribution:4}  {what}  {_times(row, now)}"
    raw = "" if report.score == report.listed_score else f", but {report.score} counts"
    yield f"  {'':10}={report.listed_score:4}{raw}"


def _times(row: Evidence, now: float) -> str:
    since = (format_moment(row.first_seen) or "?").partition("T")[0]
    ago = round_duration(max(0.0, now - row.last_seen))
    return f"since {since}, seen {ago} ago" + ("" if row.current else ", has left the list")


def _origin(origin: Origin) -> str:
    network = f"AS{origin.asn} {printable(origin.name or '')}".strip() if origin.asn is not None else "unknown network"
    place = ", ".join(printable(part) for part in (origin.city, origin.region, origin.country) if part)
    return f"{network}, {place}" if place else network
