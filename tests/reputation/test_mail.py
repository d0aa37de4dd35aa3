"""Reports on e-mail addresses and domains: what the text says, what lists say, what follows."""

from __future__ import annotations

import json
from math import floor, prod
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocklistd import Snapshot
from blocklistd.errors import UsageError
from blocklistd.index.names import mail_digest
from blocklistd.index.publish import prepare_folders, write_section
from blocklistd.index.seen import Sighted
from blocklistd.index.seen_sections import encode_names
from blocklistd.reputation.assess import Assessor
from blocklistd.reputation.host import Host
from blocklistd.reputation.mail import MailAssessor
from blocklistd.reputation.mail_address import DATA, read_domain_name, read_mail_address
from blocklistd.reputation.mail_servers import MailServers
from blocklistd.reputation.mail_signals import WEIGHTS
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.overrides import Overrides
from blocklistd.reputation.policy import Condition, Policy, Profile, Rule, Suppressed
from blocklistd.reputation.suppression import Suppression
from blocklistd.state.overrides import Override
from tests.support import SECRET, make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocklistd.reputation.mail_report import DomainReport, MailReport

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""
DAY = 86400

DOMAINS = {
    "trash": ["trash.example.org", "*.wild.example.net", "mailbox.tk"],
    "copied": ["trash.example.org"],
    "toxic": ["trash.example.org", "toxic.example.com"],
    "free": ["gmail.com", "free.example.com"],
}
MAILS = {"spammers": ["joe@gmail.com", "s.p.a.m@gmail.com", "writer+tag@example.com", "müller@bücher.de"]}
FEEDS = {"attacks": ["192.0.2.66"]}
DESCRIBED: dict[str, dict[str, Any]] = {
    "trash": {"category": "disposable", "weight": 60, "group": "disposable", "title": "Trash", "changed_at": NOW - DAY},
    "copied": {"category": "disposable", "weight": 50, "group": "disposable"},
    "toxic": {"category": "spam", "weight": 50},
    "free": {"category": "free_mail", "weight": 0},
    "spammers": {"category": "spam", "weight": 40},
    "attacks": {"category": "attacker", "weight": 40},
}
ELSEWHERE = Rule("elsewhere", Condition(unless=(Condition(country=frozenset({"DE"})),)), mildest="block")
THROWAWAY = Rule("throwaway", Condition(categories=frozenset({"disposable"})), mildest="block")
POLICY = Policy(
    {
        "default": Profile("default"),
        "signup": Profile("signup", rules=(ELSEWHERE, THROWAWAY), fail="closed"),
        "trial": Profile("trial", rules=(THROWAWAY,), shadow=True),
    }
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    data = tmp_path_factory.mktemp("data")
    make_snapshot(data, FEEDS, domains=DOMAINS, mails=MAILS, described=DESCRIBED, built_at=NOW - 100)
    with Snapshot.open_current(data) as opened:
        yield opened


class Asking:
    """Reports from a snapshot at ``NOW``."""

    def __init__(self, snapshot: Snapshot, *entries: Override, now: float = NOW) -> None:
        self.assessor = MailAssessor(
            Assessor(
                snapshot,
                origins=Origins(snapshot),
                overrides=Overrides(entries, clock=lambda: now),
                suppression=Suppression(Suppressed(frozenset()), Host()),
                policy=POLICY,
                clock=lambda: now,
            )
        )

    def mail(self, text: str, profile: str = "default", servers: MailServers | None = None) -> MailReport:
        return self.assessor.mail(read_mail_address(text), profile, servers, asked=servers is not None)

    def domain(self, text: str, servers: MailServers | None = None) -> DomainReport:
        domain = read_domain_name(text)
        assert domain is not None
        return self.assessor.domain(domain, "default", servers)


@pytest.fixture(scope="module")
def ask(snapshot: Snapshot) -> Asking:
    return Asking(snapshot)


def shares(report: MailReport | DomainReport) -> dict[str, int]:
    name = report.name
    return {row.feed: row.contribution for row in name.listings} | dict(name.signals)


# the text


@pytest.mark.parametrize(
    ("text", "address", "canonical", "subaddress"),
    [
        ("someone@example.org", "someone@example.org", "someone@example.org", None),
        ("Some.One@EXAMPLE.org", "Some.One@example.org", "some.one@example.org", None),
        ("some.one+news@example.org", "some.one+news@example.org", "some.one+news@example.org", "news"),
        ("Some.One+News@gmail.com", "Some.One+News@gmail.com", "someone@gmail.com", "News"),
        ("s.o@googlemail.com", "s.o@googlemail.com", "so@gmail.com", None),
        ("s.o+x@outlook.com", "s.o+x@outlook.com", "s.o@outlook.com", "x"),
        ("+x@gmail.com", "+x@gmail.com", "+x@gmail.com", None),
        ("x+@example.org", "x+@example.org", "x+@example.org", None),
        ("a@bücher.de", "a@xn--bcher-kva.de", "a@xn--bcher-kva.de", None),
        ("a@XN--BCHER-KVA.de", "a@xn--bcher-kva.de", "a@xn--bcher-kva.de", None),
        ('"John Doe"@example.org', '"John Doe"@example.org', '"john doe"@example.org', None),
        ('"a+b"@gmail.com', "a+b@gmail.com", "a@gmail.com", "b"),
        ("a/b@example.org", "a/b@example.org", "a/b@example.org", None),
        ("é@example.org", "é@example.org", "é@example.org", None),
        (f"{'x' * 64}@example.org", f"{'x' * 64}@example.org", f"{'x' * 64}@example.org", None),
    ],
)
def test_addresses_have_one_canonical_form(text: str, address: str, canonical: str, subaddress: str | None) -> None:
    """Case, letters of the domain, and what a provider is known to ignore; nothing that may make two mailboxes."""
    found = read_mail_address(text)
    assert found.problem is None
    assert (found.address, found.canonical, found.subaddress) == (address, canonical, subaddress)
    assert found.canonical in found.forms
    assert found.address.lower() in found.forms


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("", None),
        ("@", None),
        ("someone", None),
        ("someone@", None),
        ("@example.org", "example.org"),
        ("a@b@example.org", "example.org"),
        (" a@example.org", "example.org"),
        ("a@example.org ", None),
        ("a(comment)@example.org", "example.org"),
        ("Jane <jane@example.org>", None),
        ("a..b@example.org", "example.org"),
        (".a@example.org", "example.org"),
        ("a@example..org", None),
        ("a@-example.org", None),
        ("a@localhost", None),
        ("a@printer.local", "printer.local"),
        ("a@192.0.2.1", None),
        ("a@[192.0.2.256]", None),
        ("a\0b@example.org", "example.org"),
        ("\ud800@example.org", "example.org"),
        (f"{'x' * 65}@example.org", "example.org"),
        (f"a@{'x' * 64}.example.org", None),
        (f"{'x' * 60}@{'y' * 63}.{'y' * 63}.{'y' * 63}.example.org", None),
        ("x" * 400, None),
        ("x" * 2_000_000 + "@example.org", None),
    ],
)
def test_what_is_no_address_says_why(text: str, domain: str | None) -> None:
    """With a sentence, bounded; its domain is found all the same where there is one."""
    found = read_mail_address(text)
    assert found.problem
    assert found.problem.endswith(".")
    assert found.local_part is None
    assert found.forms == ()
    assert len(found.address) <= 320
    found.address.encode()
    if domain is not None:
        assert found.domain is not None
        assert found.domain.name == domain


@pytest.mark.parametrize(
    ("name", "registrable", "parents", "public"),
    [
        ("example.org", "example.org", (), True),
        ("a.b.example.co.uk", "example.co.uk", ("b.example.co.uk", "example.co.uk"), True),
        ("co.uk", None, (), True),
        ("me.github.io", "me.github.io", (), True),
        ("x.me.github.io", "me.github.io", ("me.github.io",), True),
        ("mail.intern.corp", None, (), False),
        ("host.example", None, (), False),
        ("printer.local", None, (), False),
    ],
)
def test_parents_end_at_what_somebody_registered(
    name: str, registrable: str | None, parents: tuple[str, ...], *, public: bool
) -> None:
    """Neighbours below a public suffix have nothing to do with each other."""
    found = read_domain_name(name)
    assert found is not None
    assert (found.registrable, found.parents, found.public) == (registrable, parents, public)


def test_the_words_are_well_kept() -> None:
    """Lower case, none twice, every domain and top-level domain real."""
    data = json.loads(DATA.read_text())
    roles = [role for group in data["roles"].values() for role in group]
    tlds = [tld for group in data["suspicious_tlds"].values() for tld in group]
    domains = [domain for group in data["subaddressing"].values() for domain in group]
    for words in (roles, tlds, domains):
        assert len(set(words)) == len(words)
        assert all(word == word.lower().strip() for word in words)
    assert all((name := read_domain_name(f"x.{tld}")) and name.public and name.cheap for tld in tlds)
    known = {*domains, *data["dots_ignored"], *data["same_as"], *data["same_as"].values()}
    assert all((name := read_domain_name(domain)) and name.registrable == domain for domain in known)
    assert set(data["dots_ignored"]) | set(data["same_as"]) <= set(domains)


# what lists say


@pytest.mark.parametrize(
    ("text", "feeds"),
    [
        ("a@trash.example.org", {"trash": 60, "copied": 0, "toxic": 20}),
        ("a@deep.below.trash.example.org", {"trash": 60, "copied": 0, "toxic": 20}),
        ("a@beside.example.org", {}),
        ("a@x.wild.example.net", {"trash": 60}),
        ("a@wild.example.net", {"trash": 60}),
        ("a@example.net", {}),
        ("a@free.example.com", {"free": 0}),
        ("a@below.free.example.com", {}),
        ("J.o.e+x@googlemail.com", {"spammers": 40}),
        ("spam@gmail.com", {"free": 0}),
        ("s.p.a.m@gmail.com", {"free": 0, "spammers": 40}),
        ("writer@example.com", {}),
        ("Writer+Tag@example.com", {"spammers": 40}),
        ("müller@xn--bcher-kva.de", {"spammers": 40}),
        ("not an address@trash.example.org", {"trash": 0, "copied": 0, "toxic": 0, "invalid": 100}),
        ("a@mailbox.tk", {"trash": 60, "suspicious_tld": 4}),
        ("a@mail.intern.corp", {"not_public": 30}),
        ("a@[192.0.2.66]", {"address_literal": 50, "server_listed": 10}),
        ("a@[192.0.2.1]", {"address_literal": 50}),
    ],
)
def test_lists_and_signals_name_an_address(ask: Asking, text: str, feeds: dict[str, int]) -> None:
    """By its forms, its domain or one above it; copies count once, free providers for nothing and by themselves."""
    if "invalid" in feeds:
        assert ask.mail(text).name.score == 100
        assert set(shares(ask.mail(text))) == set(feeds)
        return
    assert shares(ask.mail(text)) == feeds


def test_the_score_is_that_of_independent_doubt(ask: Asking) -> None:
    """Weights multiplied as doubt; contributions of listings and signals add up to it."""
    report = ask.mail("a@mailbox.tk", servers=MailServers(has_mx=True, hosts=("mx",), addresses=("192.0.2.66",)))
    weights = [60, WEIGHTS["suspicious_tld"], 40 * WEIGHTS["server_listed"] / 100]
    expected = floor(100 * (1 - prod(1 - weight / 100 for weight in weights)) + 0.5)
    assert report.name.score == sum(shares(report).values()) == expected


def test_flags_and_reasons_tell_the_story(ask: Asking) -> None:
    """Every finding is a flag where it is one, and a sentence in any case."""
    report = ask.mail("info@trash.example.org")
    assert {flag for flag, up in report.name.flags.items() if up} == {"disposable", "role", "spam"}
    assert "Trash names trash.example.org as disposable since 2027-01-14." in report.name.reasons
    assert any("role" in reason for reason in report.name.reasons)
    free = ask.mail("joe+x@gmail.com").name
    assert (free.flags["free"], free.flags["spam"], free.listed) == (True, True, True)
    assert any("free provider" in reason for reason in free.reasons)
    assert any("names the address as spam" in reason for reason in free.reasons)
    assert not ask.mail("jane@gmail.com").name.listed
    assert any("quoted" in reason for reason in ask.mail('"a b"@example.org').name.reasons)
    assert any("SMTPUTF8" in reason for reason in ask.mail("é@example.org").name.reasons)


def test_first_and_last_seen_are_those_of_the_listings(ask: Asking) -> None:
    """The earliest and the latest; null where no list names it."""
    document = ask.mail("a@x.wild.example.net").as_document()
    assert (document["first_seen"], document["last_seen"]) == ("2027-01-14T08:00:00Z", "2027-01-15T07:58:20Z")
    assert document["listings"][0]["first_seen"] == "2027-01-14T08:00:00Z"
    clean = ask.mail("a@example.org").as_document()
    assert (clean["first_seen"], clean["last_seen"], clean["score"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("servers", "signal"),
    [
        (None, None),
        (MailServers(has_mx=True, hosts=("mx",), addresses=("192.0.2.1",)), None),
        (MailServers(has_mx=True, hosts=("mx",), addresses=("192.0.2.1", "192.0.2.66")), "server_listed"),
        (MailServers(has_mx=True, hosts=("mx",), whole=False), None),
        (MailServers(has_mx=True, hosts=("mx",)), "takes_no_mail"),
        (MailServers(has_mx=True, refuses=True), "takes_no_mail"),
        (MailServers(), "takes_no_mail"),
        (MailServers(exists=False), "no_such_domain"),
    ],
)
def test_dns_speaks_against_an_address_only_when_sure(
    ask: Asking, servers: MailServers | None, signal: str | None
) -> None:
    """No answer is no finding; the same holds for the domain."""
    report = ask.mail("a@example.org", servers=servers)
    assert [found.signal for found in report.name.signals] == ([signal] if signal else [])
    assert report.name.score == (20 if signal == "server_listed" else WEIGHTS[signal] if signal else 0)
    assert ask.domain("example.org", servers).name.score == report.name.score
    dns = report.as_document()["dns"]
    assert dns["asked"] is (servers is not None)
    assert (dns["mx"] is None) is (dns["domain_exists"] is None) is (dns["hosts"] is None) is (servers is None)


def test_a_domain_is_reported_with_its_plain_facts(ask: Asking) -> None:
    """``feeds`` are those that name it; lists that name one above it count in the score alone."""
    document = ask.domain("Below.TRASH.example.org.").as_document()
    assert (document["domain"], document["listed"], document["feeds"]) == ("below.trash.example.org", False, ())
    assert (document["score"], document["flags"]["disposable"]) == (80, True)
    assert "role" not in document["flags"]
    assert ask.domain("trash.example.org").as_document()["feeds"] == ("trash", "copied", "toxic")


# what follows


def test_rules_about_origin_are_passed_over(ask: Asking) -> None:
    """Nobody connects from an address; the other rules keep their numbers, and shadow mode only says what it would."""
    assert ask.mail("a@example.org", "signup").name.decision.decided_by == "band 0-19"
    thrown = ask.mail("a@x.wild.example.net", "signup").name.decision
    assert (thrown.verdict, thrown.decided_by, thrown.fail) == ("block", "rule 2: throwaway", "closed")
    trial = ask.mail("a@x.wild.example.net", "trial").name.decision
    assert (trial.verdict, trial.would) == ("allow", "block")
    with pytest.raises(UsageError, match="default, signup, trial"):
        ask.mail("a@example.org", "admin")


def test_a_feed_that_the_operator_took_out_has_no_effect(snapshot: Snapshot) -> None:
    """It stays among the listings, weighs nothing and raises no flag."""
    entry = Override("feed:trash", "allow", "wrong", "ops", NOW - 5, None)
    report = Asking(snapshot, entry).mail("a@x.wild.example.net").name
    assert [(row.feed, row.contribution) for row in report.listings] == [("trash", 0)]
    assert (report.score, report.listed, report.flags["disposable"]) == (0, False, False)


def test_a_stale_feed_fades_and_a_dropped_one_is_silent(snapshot: Snapshot) -> None:
    """As with addresses of hosts: half way from stale_after to drop_after half the weight is left."""
    middle = NOW - 100 + (3 + 30) / 2 * DAY
    assert Asking(snapshot, now=middle).mail("a@x.wild.example.net").name.score == 30
    late = Asking(snapshot, now=NOW + 31 * DAY).mail("a@x.wild.example.net").name
    assert (late.score, late.flags["disposable"], late.listed) == (0, False, False)


def test_what_has_left_its_list_fades(tmp_path: Path) -> None:
    """Half of the ``keep`` window is over: half the weight is left, and the report tells that it has gone and when."""
    left = Sighted(int(NOW) - 40 * DAY, int(NOW) - 15 * DAY, current=False)
    dated = Sighted(int(NOW) - 9 * DAY, int(NOW) - DAY, current=True)
    prepare_folders(tmp_path)
    domains = write_section(tmp_path, encode_names({b"left.example.org": left}, digests=False))
    mails = write_section(tmp_path, encode_names({mail_digest("a@gmail.com", SECRET): dated}, digests=True))
    make_snapshot(
        tmp_path,
        {},
        domains={"trash": ["left.example.org"]},
        mails={"spammers": ["a@gmail.com"]},
        described={
            "trash": {"category": "disposable", "weight": 60, "keep": 30 * DAY, "seen": domains},
            "spammers": {**DESCRIBED["spammers"], "seen": mails},
        },
        built_at=NOW - 100,
    )
    with Snapshot.open_current(tmp_path) as snapshot:
        gone = Asking(snapshot).mail("x@left.example.org")
        (row,) = gone.as_document()["listings"]
        assert (gone.name.score, row["current"]) == (30, False)
        assert (row["first_seen"], row["last_seen"]) == ("2026-12-06T08:00:00Z", "2026-12-31T08:00:00Z")
        assert "but has dropped it" in gone.name.reasons[0]
        (row,) = Asking(snapshot).mail("A@gmail.com").as_document()["listings"]
        assert (row["last_seen"], row["current"], row["contribution"]) == ("2027-01-14T08:00:00Z", True, 40)


def test_addresses_are_found_only_with_the_key(tmp_path: Path) -> None:
    """The snapshot holds hashes: without the data folder's secret nobody can tell who is on a list."""
    make_snapshot(tmp_path, {}, mails=MAILS, described={"spammers": DESCRIBED["spammers"]}, built_at=NOW - 100)
    with Snapshot.open_current(tmp_path) as snapshot:
        assert shares(Asking(snapshot).mail("joe@gmail.com")) == {"spammers": 40}
        (tmp_path / "secret").write_bytes(b"another")
        assert shares(Asking(snapshot).mail("joe@gmail.com")) == {}
        (tmp_path / "secret").unlink()
        assert shares(Asking(snapshot).mail("joe@gmail.com")) == {}
    sections = b"".join(path.read_bytes() for path in (tmp_path / "sections").iterdir())
    assert b"joe" not in sections


# laws

LOCALS = st.one_of(st.sampled_from(["a", "info", "j.o.e+x", '"x y"', "joe", "é"]), st.text(max_size=12))
HOSTS = st.one_of(
    st.sampled_from(
        [*DOMAINS["toxic"], *DOMAINS["free"], "mailbox.tk", "x.wild.example.net", "x.corp", "[192.0.2.66]"]
    ),
    st.text(alphabet="abc.-xé[]:0", max_size=20),
)
ANSWERS = st.one_of(
    st.none(),
    st.builds(
        MailServers,
        exists=st.booleans(),
        has_mx=st.booleans(),
        refuses=st.booleans(),
        addresses=st.lists(st.sampled_from(["192.0.2.66", "192.0.2.1", "2001:db8::1"]), max_size=3).map(tuple),
        whole=st.booleans(),
    ),
)


@pytest.fixture(scope="module")
def ask_without_disposable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    data = tmp_path_factory.mktemp("less")
    less = {feed: names for feed, names in DOMAINS.items() if feed not in {"trash", "copied"}}
    make_snapshot(data, FEEDS, domains=less, mails=MAILS, described=DESCRIBED, built_at=NOW - 100)
    with Snapshot.open_current(data) as opened:
        yield Asking(opened)


@given(st.text(max_size=400), ANSWERS)
@example("a@" + "xn--" * 50, None)
@example("a@[IPv6:::1]", None)
@example("ａ@ｅｘａｍｐｌｅ.org", None)  # noqa: RUF001 - full-width letters are the point
@settings(max_examples=200, deadline=None)
def test_every_text_has_a_report(ask: Asking, text: str, servers: MailServers | None) -> None:
    """Whatever is asked: bounded, adding up, and something that JSON can hold."""
    report = ask.mail(text, servers=servers)
    assert 0 <= report.name.score == sum(shares(report).values()) <= 100
    json.dumps(report.as_document()).encode()


@given(LOCALS, HOSTS, ANSWERS)
@settings(max_examples=300, deadline=None)
def test_a_disposable_listing_never_lowers(
    ask: Asking, ask_without_disposable: Asking, local: str, host: str, servers: MailServers | None
) -> None:
    """One list more that says disposable: the score is at least what it was."""
    text = f"{local}@{host}"
    fewer, more = ask_without_disposable.mail(text, servers=servers), ask.mail(text, servers=servers)
    assert more.name.score >= fewer.name.score
    assert 0 <= more.name.score == sum(shares(more).values()) <= 100


@given(st.one_of(st.text(max_size=60), st.builds("{}@{}".format, LOCALS, HOSTS)))
@example("a@[IPv6:2001:db8::1]")
@example("é@bücher.de")
def test_reading_is_stable(text: str) -> None:
    """What an address is read as is read as the same again."""
    found = read_mail_address(text)
    if found.problem is None:
        again = read_mail_address(found.address)
        assert again == found
