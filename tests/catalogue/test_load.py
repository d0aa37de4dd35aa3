"""A good catalogue becomes a frozen value with every default filled in."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from blocklistd.catalogue import Feed, Schedule, expand_headers, read_catalogue
from blocklistd.catalogue.feed import Gate
from blocklistd.errors import UsageError

DAY = 86400


def read_one(*fields: str, defaults: str = "") -> Feed:
    """The one feed of a catalogue whose entry has these fields besides id and url."""
    text = f"{defaults}feeds:\n  - id: alpha\n    url: https://lists.example/alpha.txt\n"
    return read_catalogue(text + "".join(f"    {field}\n" for field in fields), "feeds.yaml").feeds[0]


LINES = ("format: lines", "category: attacker")


def test_shortest_feed() -> None:
    """Four fields make a feed; everything else has a default."""
    feed = read_one(*LINES)
    assert feed.urls == ("https://lists.example/alpha.txt",)
    assert (feed.kind, feed.weight, feed.terms, feed.status, feed.enabled) == ("ip", 20, "free", "active", True)
    assert (feed.every, feed.floor, feed.keep) == (Schedule(interval=3600), 0, 0)
    assert (feed.stale_after, feed.drop_after) == (3 * DAY, 30 * DAY)
    assert (feed.max_bytes, feed.timeout, feed.widen) == (64 * 2**20, 60, None)


def test_every_field_is_taken() -> None:
    """Each documented field reads as what it says, in seconds and bytes."""
    feed = read_one(
        *LINES,
        "title: Alpha",
        "fallback: [https://other.example/alpha.txt]",
        "kind: ip",
        "weight: 40",
        "group: alphas",
        "provider: Alpha Project",
        'every: "17 */6 * * *"',
        "floor: 30m",
        "keep: 30d",
        "stale_after: 2d",
        "drop_after: 2w",
        "exclude: [bogons, 198.51.100.0/24, 2001:db8::/32]",
        "widen: 64",
        "allow_empty: true",
        "allow_wide: true",
        "enabled: false",
        "terms: noncommercial",
        "status: active",
        "headers: {Auth-Key: a}",
        "max_bytes: 1MiB",
        "timeout: 90s",
        "homepage: https://lists.example/",
        "member: list.txt",
    )
    assert feed.every == Schedule(cron="17 */6 * * *")
    assert (feed.floor, feed.keep, feed.stale_after, feed.drop_after) == (1800, 30 * DAY, 2 * DAY, 14 * DAY)
    assert feed.exclude == ("bogons", "198.51.100.0/24", "2001:db8::/32")
    assert (feed.max_bytes, feed.timeout, feed.headers) == (2**20, 90, {"Auth-Key": "a"})
    assert (feed.allow_empty, feed.allow_wide, feed.wide_allowed, feed.enabled) == (True, True, True, False)
    assert (feed.title, feed.group, feed.provider, feed.member) == ("Alpha", "alphas", "Alpha Project", "list.txt")


@pytest.mark.parametrize(
    "fields",
    [
        ("format: csv", 'delimiter: "\\t"', "header: true", "columns: {first: start, last: -2, count: 3}"),
        ("format: csv", "columns: {address: 1}"),
        ("format: json", 'paths: ["[].host", "[].exit_ip"]'),
        ("format: json", "records: relays", 'columns: {address: "a || b"}'),
        ("format: ndjson", 'records: "@"', "columns: {network: cidr}"),
        ("format: regex", r"pattern: '^(?P<address>\S+) (?P<count>\d+)'", "min_count: 3"),
        ("format: fail2ban",),
    ],
)
def test_every_format_is_taken(fields: tuple[str, ...]) -> None:
    """Each format works with its own options."""
    assert read_one(*fields, "category: attacker").format == fields[0].removeprefix("format: ")


def test_feed_is_frozen() -> None:
    """Nobody can change a feed behind another's back."""
    feed = read_one(*LINES)
    with pytest.raises(ValidationError):
        feed.weight = 100  # type: ignore[misc]


@pytest.mark.parametrize(
    ("category", "kind", "weight"),
    [("tor", "ip", 20), ("hosting", "ip", 10), ("crawler", "ip", 0), ("bogon", "ip", 0), ("free_mail", "domain", 0)],
)
def test_weight_follows_category(category: str, kind: str, weight: int) -> None:
    """Where no weight is given, a category that is no accusation weighs nothing."""
    assert read_one("format: lines", f"kind: {kind}", f"category: {category}").weight == weight


@pytest.mark.parametrize(
    ("every", "stale_days", "drop_days"), [("1h", 3, 30), ("1d", 3, 30), ("7d", 21, 70), ("30d", 90, 300)]
)
def test_staleness_follows_schedule(every: str, stale_days: int, drop_days: int) -> None:
    """A list that is fetched rarely is not called stale between two turns."""
    feed = read_one(*LINES, f"every: {every}")
    assert (feed.stale_after, feed.drop_after) == (stale_days * DAY, drop_days * DAY)


def test_drop_follows_a_given_staleness() -> None:
    """A longer stale_after alone moves drop_after with it instead of contradicting it."""
    feed = read_one(*LINES, "stale_after: 60d")
    assert feed.drop_after == 60 * DAY


@pytest.mark.parametrize("field", ["status: ended", "terms: prohibited"])
def test_ended_and_prohibited_are_off_by_default(field: str) -> None:
    """Such a feed needs no enabled: false, and a default of true does not switch it on."""
    assert not read_one(*LINES, field).enabled
    assert not read_one(*LINES, field, defaults="defaults:\n  enabled: true\n").enabled


def test_prohibited_can_be_switched_on() -> None:
    """The operator may decide, in so many words."""
    assert read_one(*LINES, "terms: prohibited", "enabled: true").enabled


def test_defaults_lie_below_each_feed() -> None:
    """A default holds where the feed is silent; headers are merged, all else is replaced."""
    defaults = "defaults: {every: 6h, weight: 5, exclude: [bogons], headers: {A: one, B: two}}\n"
    silent = read_one(*LINES, defaults=defaults)
    assert (silent.every.interval, silent.weight, silent.exclude) == (6 * 3600, 5, ("bogons",))
    assert silent.headers == {"A": "one", "B": "two"}
    loud = read_one(*LINES, "every: 1h", "exclude: []", "headers: {B: three}", defaults=defaults)
    assert (loud.every.interval, loud.exclude, loud.headers) == (3600, (), {"A": "one", "B": "three"})


def test_default_that_does_not_fit_is_passed_over() -> None:
    """Defaults are wishes: what a feed's format or kind has no use for is no mistake of the feed."""
    defaults = "defaults: {category: spam, header: true, min_count: 3, widen: 64, floor: 1h, subdomains: true}\n"
    table = read_one("format: csv", "kind: asn_table", "columns: {network: net, asn: asn}", defaults=defaults)
    assert (table.category, table.header, table.min_count, table.widen, table.floor) == (None, True, 0, None, 3600)
    names = read_one("format: lines", "kind: domain", defaults=defaults)
    assert (names.category, names.subdomains, names.header) == ("spam", True, False)


def test_default_exclude_spares_the_excluded_feed() -> None:
    """A feed that every other one excludes does not exclude itself."""
    text = (
        "defaults:\n  exclude: [alpha]\nfeeds:\n"
        "  - {id: alpha, url: https://lists.example/a, format: lines, category: bogon}\n"
        "  - {id: beta, url: https://lists.example/b, format: lines, category: spam}\n"
    )
    feeds = read_catalogue(text, "feeds.yaml").by_id
    assert (feeds["alpha"].exclude, feeds["beta"].exclude) == ((), ("alpha",))


USES = """
feeds:
  - {id: free_on, url: https://lists.example/1, format: lines, category: spam}
  - {id: restricted, url: https://lists.example/2, format: lines, category: spam, terms: noncommercial}
  - {id: free_off, url: https://lists.example/3, format: lines, category: spam, enabled: false}
  - {id: forbidden, url: https://lists.example/4, format: lines, category: spam, terms: prohibited, enabled: true}
"""


def test_enabled_follows_use() -> None:
    """Commercial use leaves out whatever is not free; the order is that of the file."""
    catalogue = read_catalogue(USES, "feeds.yaml")
    assert [feed.id for feed in catalogue.enabled("noncommercial")] == ["free_on", "restricted", "forbidden"]
    assert [feed.id for feed in catalogue.enabled("commercial")] == ["free_on"]
    assert list(catalogue.by_id) == ["free_on", "restricted", "free_off", "forbidden"]


def test_parse_key_is_of_what_parsing_uses() -> None:
    """A new weight reads the same bytes the same way; a new format or column does not."""
    key = read_one("format: csv", "category: spam", "columns: {address: 1}").parse_key
    assert read_one("format: csv", "category: spam", "columns: {address: 1}", "weight: 7").parse_key == key
    assert read_one("format: csv", "category: spam", "columns: {address: 2}").parse_key != key
    assert read_one(*LINES).parse_key != key


def test_empty_catalogue_is_good() -> None:
    """No feeds at all is a choice, not a mistake."""
    assert read_catalogue("feeds: []", "feeds.yaml").feeds == ()


def test_headers_take_variables_from_the_environment() -> None:
    """``${NAME}`` is filled in when the feed is fetched, without the line break of the file it came from."""
    feed = read_one(*LINES, 'headers: {Auth-Key: "Bearer ${ALPHA_KEY}", Accept: text/plain}')
    assert feed.headers["Auth-Key"] == "Bearer ${ALPHA_KEY}"
    assert expand_headers(feed, {"ALPHA_KEY": " s3cret\n"}) == {"Auth-Key": "Bearer s3cret", "Accept": "text/plain"}


def test_missing_variable_is_named() -> None:
    """A key that is not set stops the fetch with the header and the variable."""
    feed = read_one(*LINES, 'headers: {Auth-Key: "${ALPHA_KEY}"}')
    for environment in ({}, {"ALPHA_KEY": ""}, {"ALPHA_KEY": " \n"}):
        with pytest.raises(UsageError, match=r"^header Auth-Key needs .* ALPHA_KEY, which is not set"):
            expand_headers(feed, environment)


@pytest.mark.parametrize("value", ["s3cret\r\nHost: evil.example", "s3cret\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_variable_cannot_smuggle_headers_and_is_not_printed(value: str) -> None:
    """A value of more than one ASCII line is refused, and the refusal does not show it."""
    feed = read_one(*LINES, 'headers: {Auth-Key: "${ALPHA_KEY}"}')
    with pytest.raises(UsageError) as caught:
        expand_headers(feed, {"ALPHA_KEY": value})
    assert "ALPHA_KEY" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_long_chain_of_references_is_no_circle() -> None:
    """Feeds may exclude one another in a chain of any length; only a circle is a mistake."""
    entry = "  - {{id: f{}, url: https://lists.example/{}, format: lines, category: spam, exclude: [f{}]}}\n"
    chain = "".join(entry.format(number, number, number + 1) for number in range(1500))
    last = "  - {id: f1500, url: https://lists.example/1500, format: lines, category: spam}\n"
    assert len(read_catalogue("feeds:\n" + chain + last, "feeds.yaml").feeds) == 1501


def test_a_gate_has_its_bands() -> None:
    """Those not named have their default; none asks nothing at all."""
    gate = read_one(*LINES, "gate: {shrink: 60%, growth: 1000%, canaries: false}").gate
    assert gate == Gate.model_validate({"shrink": "60%", "growth": "1000%", "canaries": False})
    assert gate is not None
    assert (gate.shrink, gate.growth, gate.overlap, gate.canaries) == (0.6, 10.0, 0.02, False)
    assert read_one(*LINES).gate == Gate()
    assert read_one(*LINES, "gate: none").gate is None
