"""Never block yourself: what is suppressed, why, and nothing beside it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.addresses import SPECIAL, format_address, is_special, networks_of, parse_address
from blocklistd.reputation.host import Host
from blocklistd.reputation.policy import Suppressed
from blocklistd.reputation.suppression import SPECIAL_WORDS, Suppression, public_resolvers

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = Host(
    own=frozenset({parse_address("203.0.113.7"), parse_address("192.168.0.2"), parse_address("2a00::7")}),
    gateways=frozenset({parse_address("192.168.0.1"), parse_address("2a00::1")}),
    resolvers=frozenset({parse_address("192.168.0.1"), parse_address("198.41.0.4")}),
)
NOBODY: Mapping[str, str] = {}


def reason(suppression: Suppression, text: str, asn: int | None = None, **named_by: str) -> str | None:
    return suppression.reason(*parse_address(text), asn, named_by)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("203.0.113.7", "address of this host"),
        ("192.168.0.2", "address of this host"),
        ("2a00::7", "address of this host"),
        ("192.168.0.1", "default gateway of this host"),
        ("2a00::1", "default gateway of this host"),
        ("198.41.0.4", "name server of this host"),
        ("192.168.0.3", "private address (192.168.0.0/16)"),
        ("127.0.0.1", "loopback address (127.0.0.0/8)"),
        ("100.64.0.1", "carrier-grade NAT address (100.64.0.0/10)"),
        ("203.0.113.8", "documentation address (203.0.113.0/24)"),
        ("255.255.255.255", "reserved address (240.0.0.0/4)"),
        ("::1", "loopback address (::1/128)"),
        ("::", "unspecified address (::/128)"),
        ("fe80::1", "link-local address (fe80::/10)"),
        ("fd00::1", "private address (fc00::/7)"),
        ("::ffff:10.0.0.1", "private address (10.0.0.0/8)"),
        ("8.8.8.8", "public resolver (Google Public DNS)"),
        ("2606:4700:4700::1111", "public resolver (Cloudflare)"),
        ("2620:fe::fe", "public resolver (Quad9)"),
        ("208.67.222.222", "public resolver (OpenDNS)"),
        ("94.140.14.14", "public resolver (AdGuard DNS)"),
        ("203.0.114.1", None),
        ("8.8.8.9", None),
        ("2a00::8", None),
        ("::2", None),
    ],
)
def test_by_default(text: str, why: str | None) -> None:
    """Own addresses, gateways, resolvers, special space and public resolvers, the most exact reason; nothing else."""
    assert reason(Suppression(Suppressed(), HOST), text) == why


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("own", "203.0.113.7"), ("gateway", "2a00::1"), ("resolvers", "198.41.0.4")),
        *(("bogons", "10.0.0.1"), ("public_resolvers", "9.9.9.9")),
    ],
)
def test_each_set_can_be_left_out(name: str, text: str) -> None:
    """Without a set its addresses are like any other, whatever remains of the more general sets."""
    everything = Suppressed().sets
    assert reason(Suppression(Suppressed(everything), HOST), text) is not None
    assert reason(Suppression(Suppressed(frozenset()), HOST), text) is None
    assert reason(Suppression(Suppressed(frozenset({name})), HOST), text) is not None
    left = reason(Suppression(Suppressed(everything - {name}), HOST), text)
    assert left == ("documentation address (203.0.113.0/24)" if name == "own" else None)


def test_what_the_policy_adds() -> None:
    """Networks, addresses, AS numbers, and lists of content networks, crawlers and relays, named by their feed."""
    chosen = Suppressed(
        frozenset({"cdn", "crawler", "relay"}), frozenset({64500}), ("8.8.0.0/16", "9.9.9.9", "2a00::/16")
    )
    suppression = Suppression(chosen, Host())
    assert reason(suppression, "8.8.4.4") == "network 8.8.0.0/16 of the policy"
    assert reason(suppression, "9.9.9.9") == "network 9.9.9.9 of the policy"
    assert reason(suppression, "2a00:1::") == "network 2a00::/16 of the policy"
    assert reason(suppression, "1.1.1.1", 64500) == "AS64500 of the policy"
    assert reason(suppression, "1.1.1.1", 64501) is None
    assert reason(suppression, "1.1.1.1", attacker="one", crawler="googlebot") == "crawler (googlebot)"
    assert reason(suppression, "1.1.1.1", cdn="fastly") == "cdn (fastly)"
    assert reason(suppression, "1.1.1.1", relay="egress") == "relay (egress)"
    assert reason(suppression, "1.1.1.1", attacker="one", hosting="aws") is None
    assert reason(Suppression(Suppressed(), Host()), "1.2.3.4", 64500, crawler="googlebot", relay="egress") is None


def test_a_network_that_is_none_is_refused() -> None:
    """A range or a name in the place of a network is a clear error."""
    for text in ("192.0.2.1-192.0.2.9", "example", "192.0.2.0/33"):
        with pytest.raises(ValueError, match="neither an address nor a network"):
            Suppression(Suppressed(networks=(text,)), Host())


def test_the_whole_address_space_can_be_named() -> None:
    """An entry of length 0 holds every address of its family and no other."""
    suppression = Suppression(Suppressed(frozenset(), networks=("0.0.0.0/0",)), Host())
    assert [reason(suppression, text) is None for text in ("0.0.0.0", "255.255.255.255", "::1")] == [False, False, True]


def test_all_special_space_has_its_word() -> None:
    """The table of words covers exactly the special space that the rest of the program knows."""
    covered = [ipaddress.ip_network(network) for network in SPECIAL_WORDS]
    for version in (4, 6):
        ours = ipaddress.collapse_addresses(n for n in covered if n.version == version)  # type: ignore[type-var]
        theirs = ipaddress.collapse_addresses(
            ipaddress.ip_network(text)  # type: ignore[type-var]
            for special in SPECIAL
            if special.family == version
            for text in networks_of(special.family, special.first, special.last)
        )
        assert list(ours) == list(theirs)


texts = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: (4, value)),
    st.integers(0, 2**128 - 1).map(lambda value: (6, value)),
    st.sampled_from(SPECIAL).flatmap(
        lambda special: st.sampled_from(
            [(special.family, special.first), (special.family, special.last), (special.family, special.first + 1)]
        )
    ),
)


@given(texts)
def test_bogons_are_special_space(address: tuple[int, int]) -> None:
    """With every address, chosen to be suppressed or not."""
    translated = address[0] == 6 and address[1] >> 32 == 0x64FF9B0001 << 48
    if not translated:
        for chosen in (Suppressed(), Suppressed(frozenset())):
            assert Suppression(chosen, Host()).is_bogon(*address) == is_special(*address)


networks4 = st.tuples(st.integers(0, 15), st.integers(0, 4)).map(
    lambda row: f"{format_address(4, 0x08080800 + (row[0] >> row[1] << row[1]))}/{32 - row[1]}"
)


@given(st.lists(networks4, max_size=6), st.integers(0x08080800 - 2, 0x08080800 + 18))
def test_the_most_exact_network_gives_the_reason(texts: list[str], value: int) -> None:
    """As a scan over all networks for the longest one that holds the address."""
    suppression = Suppression(Suppressed(frozenset(), networks=tuple(texts)), Host())
    holding = [text for text in texts if ipaddress.IPv4Address(value) in ipaddress.ip_network(text)]
    longest = max(holding, key=lambda text: int(text.partition("/")[2]), default=None)
    expected = None if longest is None else f"network {longest} of the policy"
    assert suppression.reason(4, value, None, NOBODY) == expected


def test_an_address_behind_a_translator_is_judged_by_what_it_holds() -> None:
    """64:ff9b:1::/48 is local space, but not where a public IPv4 address is plain to see in it."""
    suppression = Suppression(Suppressed(), Host())
    public, private, unclear = (
        parse_address(text) for text in ("64:ff9b:1::101:102", "64:ff9b:1::a00:1", "64:ff9b:1:1::101:102")
    )
    assert [suppression.is_bogon(*address) for address in (public, private, unclear)] == [False, True, True]
    assert suppression.reason(*public, None, NOBODY) is None
    assert suppression.reason(*private, None, NOBODY) == "local translation address (64:ff9b:1::/48)"


def test_public_resolvers_are_public_and_named_once() -> None:
    """Each address stands under one name and is a public one; the great ones have both families."""
    everyone = [address for addresses in public_resolvers().values() for address in addresses]
    assert len(everyone) == len(set(everyone))
    assert not any(is_special(*address) for address in everyone)
    for name in ("Google Public DNS", "Cloudflare", "Quad9", "OpenDNS", "AdGuard DNS"):
        assert {family for family, _ in public_resolvers()[name]} == {4, 6}
