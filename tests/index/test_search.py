"""Many questions at once get what each gets alone, whatever they are written as; an oracle reads the lists."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd import BadAddress, Snapshot
from blocklistd.index.search import SMALL_BATCH
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("code")

LISTS = {
    "alpha": ["192.0.2.0/24", "2001:db8::/32", "::/96"],
    "beta": ["192.0.2.1", "198.51.100.0/25", "2001:db8::1", "2001:db8:0:0:8000::/65", "ff02::/16"],
    "gamma": ["0.0.0.0", "255.255.255.255", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "4000::/64"],
}
NETWORKS = [(feed, ipaddress.ip_network(text)) for feed, texts in LISTS.items() for text in texts]
IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory, code: str) -> Iterator[Snapshot]:
    data = tmp_path_factory.mktemp(code)
    make_snapshot(data, LISTS)
    with Snapshot.open_current(data) as snapshot:
        yield snapshot


def expected(address: IP) -> tuple[str, ...]:
    """The lists that name an address, by asking each of their networks."""
    mapped = getattr(address, "ipv4_mapped", None)
    return tuple(dict.fromkeys(feed for feed, network in NETWORKS if (mapped or address) in network))


def some(family: int, count: int, seed: int) -> list[IP]:
    """Addresses at the edges of the networks, one beyond them, and anywhere."""
    chance = random.Random(seed)
    kind, bits = (ipaddress.IPv4Address, 32) if family == 4 else (ipaddress.IPv6Address, 128)
    edges = [int(end) for _, network in NETWORKS if network.version == family for end in (network[0], network[-1])]
    near = [value + step for value in edges for step in (-1, 0, 1) if 0 <= value + step < 2**bits]
    drawn = [chance.choice(near) if chance.random() < 0.8 else chance.getrandbits(bits) for _ in range(count)]
    return [kind(value) for value in near + drawn]


def mapped(address: IP) -> str:
    return f"::ffff:{address}" if address.version == 4 else str(address)


WRITTEN: dict[str, Callable[[IP], Any]] = {
    "text": str,
    "long text": lambda address: address.exploded,
    "IPv4-mapped text": mapped,
    "number": lambda address: int(address) if address.version == 4 or int(address) >= 2**32 else address,
    "object": lambda address: address,
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize("families", [(4,), (6,), (4, 6)])
def test_many_get_what_the_lists_say(snapshot: Snapshot, how: str, families: tuple[int, ...]) -> None:
    """In the order asked: one family and both, each way to write an address, more than are looked up one by one."""
    addresses = [address for family in families for address in some(family, 2 * SMALL_BATCH, family)]
    random.Random(3).shuffle(addresses)
    asked = [WRITTEN[how](address) for address in addresses]
    answers = [expected(address) for address in addresses]
    assert [listing.feeds for listing in snapshot.lookup_many(asked)] == answers
    assert [snapshot.lookup(question).feeds for question in asked] == answers


def test_many_may_be_written_in_many_ways(snapshot: Snapshot) -> None:
    """All of them in one call."""
    addresses = some(4, 100, 5) + some(6, 100, 6)
    asked = [tuple(WRITTEN.values())[number % len(WRITTEN)](address) for number, address in enumerate(addresses)]
    assert [listing.feeds for listing in snapshot.lookup_many(asked)] == [expected(a) for a in addresses]


@pytest.mark.parametrize(
    "bad", ["", "192.0.2", "2001:db8::1%lo", "::1:", "\ud800:", -1, 2**128, True, None, b"::1", 1.5]
)
@pytest.mark.parametrize("others", ["192.0.2.1", "2001:db8::1", 1])
def test_one_that_is_no_address_is_an_error(snapshot: Snapshot, bad: Any, others: Any) -> None:
    """Among many others of each kind, with the words it gets alone."""
    with pytest.raises(BadAddress) as alone:
        snapshot.lookup(bad)
    with pytest.raises(BadAddress) as among:
        snapshot.lookup_many([others] * SMALL_BATCH + [bad])
    assert str(among.value) == str(alone.value)
