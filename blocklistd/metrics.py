"""Every metric, declared once; counters that all workers share; and the text Prometheus reads.

Takes samples (metric, label values, number), gives the exposition text. Counters live in one block of shared memory
with a row of unsigned 64-bit slots for each process: a process only ever writes its own row, whoever is asked sums
all rows. A row outlives the process that wrote it, so a restarted worker goes on counting.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric as Family

Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name as scraped, what it says, and the names of its labels."""

    name: str
    kind: Kind
    sentence: str
    labels: tuple[str, ...] = ()


REQUESTS = Metric(
    "blocklistd_requests_total",
    "counter",
    "HTTP requests answered, by route and status class.",
    ("route", "status"),
)
LOOKUPS = Metric("blocklistd_lookups_total", "counter", "Addresses and domains looked up.", ("kind",))
LISTED = Metric("blocklistd_listed_total", "counter", "Of these, how many at least one list named.", ("kind",))
REFUSED = Metric(
    "blocklistd_connections_refused_total", "counter", "Connections turned away because a worker held its limit."
)
WORKER_STARTS = Metric("blocklistd_worker_starts_total", "counter", "Worker processes started, restarts included.")
REFRESHES = Metric("blocklistd_refreshes_total", "counter", "Refreshes that ended, by result.", ("result",))
VERDICTS = Metric(
    "blocklistd_verdicts_total",
    "counter",
    "Verdicts given, by profile; a profile in shadow mode gives allow.",
    ("profile", "verdict"),
)
SHADOW_VERDICTS = Metric(
    "blocklistd_shadow_verdicts_total",
    "counter",
    "Verdicts that profiles in shadow mode would have given.",
    ("profile", "verdict"),
)
DECISIONS_LOST = Metric(
    "blocklistd_decisions_lost_total", "counter", "Decisions that could not be written to the decision log."
)
MAIL_DNS = Metric(
    "blocklistd_mail_dns_total", "counter", "Mail domains asked for in DNS, by what came of it.", ("result",)
)

BUILD = Metric("blocklistd_build_info", "gauge", "Always 1; the label says which version runs.", ("version",))
SNAPSHOT_READY = Metric("blocklistd_snapshot_ready", "gauge", "1 when there is a snapshot to answer from.")
SNAPSHOT_INTACT = Metric(
    "blocklistd_snapshot_intact",
    "gauge",
    "0 when the newest snapshot could not be opened and an older one serves.",
)
SNAPSHOT_GENERATION = Metric("blocklistd_snapshot_generation", "gauge", "Growing number of the snapshot in use.")
SNAPSHOT_BUILT = Metric("blocklistd_snapshot_built_timestamp_seconds", "gauge", "When the snapshot in use was built.")
SNAPSHOT_AGE = Metric("blocklistd_snapshot_age_seconds", "gauge", "Seconds since the snapshot in use was built.")
WORKER_GENERATION = Metric(
    "blocklistd_worker_generation", "gauge", "Generation each worker answers from; 0 is none.", ("worker",)
)
SNAPSHOT_PINNED = Metric(
    "blocklistd_snapshot_pinned", "gauge", "1 while an operator holds a snapshot fast and refreshes publish nothing."
)
FEED_SUCCESS = Metric(
    "blocklistd_feed_last_success_timestamp_seconds",
    "gauge",
    "Last good fetch of the feed; 0 is never.",
    ("feed",),
)
FEED_AGE = Metric("blocklistd_feed_age_seconds", "gauge", "Seconds since the last good fetch of the feed.", ("feed",))
FEED_CHANGED = Metric(
    "blocklistd_feed_changed_timestamp_seconds", "gauge", "When the bytes of the feed last changed.", ("feed",)
)
FEED_DATED = Metric(
    "blocklistd_feed_dated_timestamp_seconds", "gauge", "Date the list itself bears, where it bears one.", ("feed",)
)
FEED_ENTRIES = Metric(
    "blocklistd_feed_entries", "gauge", "Distinct entries of the feed in the snapshot in use.", ("feed",)
)
FEED_FAILURES = Metric("blocklistd_feed_failures", "gauge", "Failed fetches of the feed in a row.", ("feed",))
FEED_STATE = Metric(
    "blocklistd_feed_state",
    "gauge",
    "1 for what the last fetch of the feed came to, 0 for the rest.",
    ("feed", "state"),
)
FEED_STALE = Metric("blocklistd_feed_stale", "gauge", "1 when the feed is older than its stale_after.", ("feed",))
FEED_DROPPED = Metric(
    "blocklistd_feed_dropped", "gauge", "1 when the feed is older than its drop_after and counts no more.", ("feed",)
)
FEED_QUARANTINED = Metric(
    "blocklistd_feed_quarantined", "gauge", "1 while a later version of the feed waits for the operator.", ("feed",)
)
FEED_FROZEN = Metric(
    "blocklistd_feed_frozen", "gauge", "1 when the feed is fetched well, but has long said nothing new.", ("feed",)
)
REFRESH_OK = Metric(
    "blocklistd_refresh_ok",
    "gauge",
    "1 when the last refresh brought in some feed, or none was due; 0 when it failed or every feed it asked did.",
)
REFRESH_FINISHED = Metric(
    "blocklistd_refresh_finished_timestamp_seconds", "gauge", "When the last refresh ended, well or badly."
)
REFRESH_DURATION = Metric("blocklistd_refresh_duration_seconds", "gauge", "How long the last refresh took.")
REFRESH_NOTES = Metric(
    "blocklistd_refresh_notes", "gauge", "What the last refresh had to say: a pin, trouble with the history; 0 is best."
)
CATALOGUE_OK = Metric(
    "blocklistd_catalogue_reload_ok",
    "gauge",
    "1 when the catalogue was read well the last time, 0 when refused.",
)
CATALOGUE_TIME = Metric(
    "blocklistd_catalogue_reload_timestamp_seconds", "gauge", "When the catalogue was read the last time."
)
POLICY_OK = Metric(
    "blocklistd_policy_reload_ok", "gauge", "1 when the policy was read well the last time, 0 when refused."
)
POLICY_TIME = Metric("blocklistd_policy_reload_timestamp_seconds", "gauge", "When the policy was read the last time.")
STATE_INTACT = Metric(
    "blocklistd_state_intact", "gauge", "0 when state.db could not be read and what was read before stays in force."
)
OVERRIDES = Metric("blocklistd_override_entries", "gauge", "Overrides in force.")
KEYS = Metric("blocklistd_key_entries", "gauge", "Keys that are good.")

METRICS: Final[tuple[Metric, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order above; the documentation is checked against it."""

ROUTES: Final = (
    *("home", "ip", "ip_bulk", "report", "report_bulk", "email", "email_bulk", "domain", "history", "feeds", "feed"),
    *("refresh", "overrides", "override", "override_put", "override_delete"),
    *("healthz", "readyz", "metrics", "openapi", "other"),
)
"""Values of the label ``route``; ``other`` is every path that is no route."""

STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
KINDS: Final = ("ip", "report", "domain", "email")
MAIL_DNS_RESULTS: Final = ("answered", "cached", "unanswered")
RESULTS: Final = ("ok", "no_feed", "failed")
"""``no_feed``: the refresh ran, but every feed it asked failed."""
VERDICT_WORDS: Final = ("allow", "flag", "challenge", "block")

OTHER_PROFILE: Final = "other"
MOST_PROFILES: Final = 31
"""Profiles of a policy that are counted each by itself. The operator chooses their names, and may change them while
processes run, so rows have numbered places; ``Counters.profiles`` says whose they are. Place 0 is of all others."""

SLOTS: Final[tuple[tuple[Metric, tuple[str, ...]], ...]] = (
    *((REQUESTS, (route, status)) for route in ROUTES for status in STATUSES),
    *((LOOKUPS, (kind,)) for kind in KINDS),
    *((LISTED, (kind,)) for kind in KINDS),
    (REFUSED, ()),
    (WORKER_STARTS, ()),
    *((REFRESHES, (result,)) for result in RESULTS),
    *((VERDICTS, (str(place), word)) for place in range(MOST_PROFILES + 1) for word in VERDICT_WORDS),
    *((SHADOW_VERDICTS, (str(place), word)) for place in range(MOST_PROFILES + 1) for word in VERDICT_WORDS),
    (DECISIONS_LOST, ()),
    *((MAIL_DNS, (result,)) for result in MAIL_DNS_RESULTS),
    (WORKER_GENERATION, ()),
)
"""What each slot of a row counts. The last is no counter: it holds the generation the row's worker answers from."""

SLOT_OF: Final = {key: number for number, key in enumerate(SLOTS)}
ROW_BYTES: Final = 8 * len(SLOTS)


class Row:
    """The slots one process writes. ``slots`` is for the hot path, which adds in place."""

    def __init__(self, slots: memoryview) -> None:
        self.slots = slots

    def add(self, metric: Metric, *labels: str, count: int = 1) -> None:
        """Count; raises KeyError for labels that are not declared above."""
        self.slots[SLOT_OF[metric, labels]] += count

    def add_at(self, slot: int, count: int = 1) -> None:
        """Count in a slot found beforehand: the hot path."""
        self.slots[slot] += count

    def set_generation(self, generation: int) -> None:
        """Say which snapshot this worker answers from."""
        self.slots[SLOT_OF[WORKER_GENERATION, ()]] = generation


class Counters:
    """The shared block: row 0 is the supervisor's, row n the n-th worker's.

    profiles: whose the places of verdicts are; those beyond are in no use.
    """

    def __init__(self, handle: int, rows: int) -> None:
        """Map a file of at least ``rows * ROW_BYTES`` zero bytes; the handle may be closed afterwards."""
        self.rows = rows
        self.profiles: tuple[str, ...] = (OTHER_PROFILE,)
        self._map = mmap.mmap(handle, rows * ROW_BYTES)
        self._slots = memoryview(self._map).cast("Q")

    def row(self, number: int) -> Row:
        """The row that process ``number`` may write."""
        return Row(self._slots[number * len(SLOTS) : (number + 1) * len(SLOTS)])

    def samples(self) -> Iterator[Sample]:
        """Every counter, summed over all rows, and the generation of each worker."""
        width = len(SLOTS)
        for number, (metric, labels) in enumerate(SLOTS):
            column = self._slots[number::width].tolist()
            if metric is WORKER_GENERATION:
                for worker, generation in enumerate(column[1:], start=1):
                    yield Sample(metric, (str(worker),), generation)
            elif metric in {VERDICTS, SHADOW_VERDICTS}:
                place, word = int(labels[0]), labels[1]
                if place < len(self.profiles):
                    yield Sample(metric, (self.profiles[place], word), sum(column))
            else:
                yield Sample(metric, labels, sum(column))


class Sample(NamedTuple):
    """One number under one metric; labels in the order the metric declares."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def exposition(samples: Iterable[Sample], accept: str) -> tuple[bytes, str]:
    """Write samples as Prometheus text, or OpenMetrics where ``accept`` asks for it: (body, content type)."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    families = list(_families(samples))

    class Collected(Collector):
        def collect(self) -> Sequence[Family]:
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _families(samples: Iterable[Sample]) -> Iterator[Family]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    grouped: dict[Metric, list[Sample]] = {metric: [] for metric in METRICS}
    for sample in samples:
        grouped[sample.metric].append(sample)
    for metric, group in grouped.items():
        if not group:
            continue
        family: Family
        if metric.kind == "counter":
            family = CounterMetricFamily(metric.name, metric.sentence, labels=metric.labels)
        else:
            family = GaugeMetricFamily(metric.name, metric.sentence, labels=metric.labels)
        for sample in group:
            family.add_metric(list(sample.labels), sample.value)
        yield family
