"""How a refresh shows itself: a live bar on a terminal, plain lines otherwise, a table at the end."""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Final, Self

import click

from blocklistd.refresh.report import FeedResult, RefreshReport
from blocklistd.units import counted, round_size
from blocklistd.web.notices import BAD_STATES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from blocklistd.catalogue import Feed


LONGEST_REASON: Final = 120
"""Characters of a reason in a table; the log and --json have it whole."""


class Lines(AbstractContextManager["Lines"]):
    """One line an event: for logs, pipes and systemd."""

    def __init__(self, stream: IO[str], *, log_format: str = "text") -> None:
        self._stream, self._json = stream, log_format == "json"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put away."""

    def say(self, text: str, *, level: str = "info", **fields: object) -> None:
        """Write one line."""
        if self._json:
            text = json.dumps({"level": level, "message": text, **fields})
        print(text, file=self._stream, flush=True)

    def begin(self, feeds: Sequence[Feed], due: int, *, first: bool) -> None:
        """Before the pass: what is about to happen, and once in a data folder's life whose terms bind."""
        if first:
            bound = [feed.id for feed in feeds if feed.terms == "noncommercial"]
            if bound:
                self.say(
                    f"The terms of {counted(len(bound), 'feed')} forbid commercial use: {', '.join(bound)}. "
                    "Leave them out with --use commercial or BLOCKLISTD_USE=commercial.",
                )
        self.say(f"refreshing {due} of {counted(len(feeds), 'feed')}" if due else "no feed is due")

    def feed_started(self, feed: str) -> None:
        """A line for every start would say nothing: the end does."""

    def feed_progress(self, feed: str, done: int, total: int | None) -> None:
        """Only the live bar shows bytes as they come."""

    def feed_finished(self, result: FeedResult) -> None:
        """Tell what came of a feed, unless it was not even due."""
        if result.state != "not due":
            level = "warning" if result.state in BAD_STATES else "info"
            self.say(sentence(result), level=level, feed=result.feed, state=result.state)

    def compiling(self, feeds: int) -> None:
        """Say that the index is being made."""
        self.say(f"compiling {counted(feeds, 'feed')}")


class Live(Lines):
    """A bar of feeds done, the feeds under way beside it; what failed scrolls above it."""

    def __init__(self, stream: IO[str], *, log_format: str = "text") -> None:
        super().__init__(stream, log_format=log_format)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._under_way: dict[str, int] = {}

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=Console(file=self._stream),
            transient=True,
        )
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str, *, level: str = "info", **fields: object) -> None:  # noqa: ARG002
        """Write one line above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, style="yellow" if level == "warning" else None)

    def begin(self, feeds: Sequence[Feed], due: int, *, first: bool) -> None:
        """Open the bar."""
        super().begin(feeds, due, first=first)
        if self._bar is not None:
            self._task = self._bar.add_task("", total=len(feeds))

    def feed_started(self, feed: str) -> None:
        """Show the feed beside the bar."""
        self._under_way[feed] = 0
        self._describe()

    def feed_progress(self, feed: str, done: int, total: int | None) -> None:  # noqa: ARG002
        """Show its bytes."""
        self._under_way[feed] = done
        self._describe()

    def feed_finished(self, result: FeedResult) -> None:
        """Move the bar."""
        self._under_way.pop(result.feed, None)
        if result.state in BAD_STATES:
            super().feed_finished(result)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
            self._describe()

    def compiling(self, feeds: int) -> None:
        """Show that the index is being made."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"compiling {counted(feeds, 'feed')}")

    def _describe(self) -> None:
        if self._bar is not None and self._task is not None:
            shown = [f"{feed} {round_size(done)}" if done else feed for feed, done in self._under_way.items()]
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            self._bar.update(self._task, description=", ".join(shown[:3]) + more)


def listener_for(stream: IO[str], *, log_format: str) -> Lines:
    """A live bar where a person watches, lines elsewhere."""
    return Live(stream) if stream.isatty() else Lines(stream, log_format=log_format)


def sentence(result: FeedResult) -> str:
    """One feed's result for people."""
    if result.state not in BAD_STATES:
        change = f" ({result.change:+,})" if result.change else ""
        size = f", {round_size(result.bytes)}" if result.bytes else ""
        return (
            f"{result.feed}: {result.state}, {counted(result.entries, 'entry')}{change}{size}, {result.seconds:.1f} s"
            + (f"; {result.reason}" if result.reason else "")
        )
    kept = f"; the last good {counted(result.entries, 'entry')} stay in force" if result.entries else ""
    return f"{result.feed}: {result.state}: {result.reason}{kept}"


def failed_report(error: str) -> RefreshReport:
    """The report of a pass that ended before any feed was through."""
    now = time.time()
    return RefreshReport(now, now, None, published=False, feeds=(), error=error)


def print_report(report: RefreshReport, *, as_json: bool, names: Collection[str] = ()) -> None:
    """The table of a refresh, or its JSON, on standard output.

    names: the feeds that were asked for; of the others the table shows those that changed. Empty for all.
    """
    if as_json:
        click.echo(json.dumps(report.as_document()))
        return
    rows = [("FEED", "STATE", "ENTRIES", "CHANGE", "BYTES", "TIME", "REASON")]
    for result in report.feeds:
        if names and result.feed not in names and not result.change:
            continue
        asked = result.state != "not due"
        rows.append(
            (
                result.feed,
                result.state,
                f"{result.entries:,}",
                f"{result.change:+,}" if result.change else "",
                round_size(result.bytes) if result.bytes else "",
                f"{result.seconds:.1f} s" if asked else "",
                clipped(result.reason),
            ),
        )
    print_table(rows, right=(2, 3, 4, 5))
    if report.error:
        click.echo(report.error, err=True)
    elif report.published:
        click.echo(f"published snapshot {report.snapshot} in {report.finished - report.started:.1f} s")
    else:
        why = "" if report.notes else "nothing changed, "
        click.echo(f"{why}snapshot {report.snapshot} stays in force")
    if any(result.state == "quarantined" for result in report.feeds):
        click.echo("what is in quarantine waits for your word: blocklistd feeds", err=True)


def clipped(reason: str) -> str:
    """A reason as it fits into a table: what a list sent may be quoted there at length."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 1]}…"


def print_table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Rows in aligned columns, the first row being the heading; ``right`` columns are numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(widths[column]) if column in right else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ]
        click.echo("  ".join(cells).rstrip())
