"""One snapshot, opened: immutable files, mapped, shared between processes; and every question to it.

    with Snapshot.open_current(Path("data")) as snapshot:
        snapshot.lookup("192.0.2.1").feeds

A snapshot never changes; a newer one is another object (see ``current``). Opening verifies every section that
lookups use; the entries of a feed are verified when they are first asked for. Whatever the bytes on disk are, an
answer is right or SnapshotCorrupt is raised.
"""

from __future__ import annotations

from bisect import bisect_right
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from blocklistd.addresses import Address, format_address, networks_of, parse_address
from blocklistd.errors import BadAddress, NoSnapshot, SnapshotCorrupt, StorageFailed
from blocklistd.index.folder import candidates, published
from blocklistd.index.layout import NO_PARENT, SECTIONS, SNAPSHOTS, Section, SectionReference, read_manifest
from blocklistd.index.listing import NOT_LISTED, Listing
from blocklistd.index.record import FeedRecord
from blocklistd.index.search import FeedSets, Segments4, Segments6, open_lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from blocklistd.index.search import AnyLookup

Question = str | int | IPv4Address | IPv6Address
"""An address to ask about. A plain int below 2**32 is IPv4, any other IPv6."""


class Named(NamedTuple):
    """One feed that names an address and the most exact network in which it does, as the list wrote it."""

    feed: str
    network: str


class Snapshot:
    """All feeds of one moment, compiled. Open with ``open`` or ``open_current``; close it or use ``with``.

    The three lookups are attributes, so that calling one costs no frame of its own. They raise ValueError once the
    snapshot is closed. searcher: whose they are.
    """

    lookup: Callable[[Question], Listing]
    """Which feeds name an address. Raises BadAddress for anything that is not one."""

    lookup_many_integers: Callable[[Buffer], list[Listing]]
    """The same for many IPv4 addresses as a buffer of unsigned 32-bit integers (``array("I")``, a numpy array)."""

    def __init__(self, snapshot_id: str, document: dict[str, Any], folder: Path) -> None:
        self.id = snapshot_id
        self.problem = ""
        """Why the published snapshot was not used, where this one stands in for it."""
        self.folder = folder
        self._entries: dict[str, Section] = {}
        self._hot: dict[str, Section] = {}
        self.searcher: AnyLookup | None = None
        try:
            self.generation: int = int(document["generation"])
            self.built_at: float = float(document["built_at"])
            self.feeds = tuple(FeedRecord.from_document(row) for row in document["feeds"])
            self._records = {record.id: record for record in self.feeds}
            self.sections = {role: SectionReference(**row) for role, row in document["sections"].items()}
            for role, reference in self.sections.items():
                self._hot[role] = self._open_section(reference)
            ids = tuple(record.id for record in self.feeds)
            four, six = Segments4(self._hot["v4"], ids), Segments6(self._hot["v6"], ids)
            self.segments = len(four), len(six)
            self.searcher = searcher = open_lookup(four, six, address_of)
            self.lookup = searcher.lookup
            self._lookup_many = searcher.lookup_many
            self.lookup_many_integers = searcher.lookup_many_integers
            self._name_sets = {role: FeedSets(self._hot[role], ids) for role in ("domains", "mails")}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.close()
            raise SnapshotCorrupt(f"{snapshot_id}: damaged manifest") from error
        except (SnapshotCorrupt, StorageFailed):
            self.close()
            raise

    @classmethod
    def open(cls, manifest: Path) -> Self:
        """Open the snapshot of a manifest file, ``<data>/snapshots/<id>``. Raises SnapshotCorrupt."""
        manifest = Path(manifest)
        return cls(manifest.name, read_manifest(manifest), manifest.parent.parent)

    @classmethod
    def open_current(cls, data: Path | str) -> Self:
        """Open the published snapshot of a data folder, or the newest good one if that is damaged.

        Raises NoSnapshot if there is none, SnapshotCorrupt if all are damaged, StorageFailed if they cannot be read.
        """
        data = Path(data)
        while True:
            aimed, problem = published(data), None
            for snapshot_id in candidates(data):
                try:
                    snapshot = cls.open(data / SNAPSHOTS / snapshot_id)
                except SnapshotCorrupt as error:
                    problem = problem or error
                    continue
                if snapshot_id != aimed:
                    what = f"snapshot {aimed} is damaged" if aimed else "the pointer to the published one is damaged"
                    snapshot.problem = f"{what}, {snapshot_id} is used instead; the next refresh mends this"
                return snapshot
            if published(data) == aimed:  # else a refresh published another one meanwhile, and took these away
                break
        if problem is not None:
            raise problem
        raise NoSnapshot(f"{data} holds no snapshot yet: run blocklistd refresh")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the files. Must not be called while another thread still asks."""
        if self.searcher is not None:
            self.searcher.close()
        self._name_sets = {}
        for section in (*self._hot.values(), *self._entries.values()):
            section.close()
        self._hot, self._entries = {}, {}

    def lookup_many(self, ips: Iterable[Question]) -> list[Listing]:
        """The same for many, in the order asked. Raises BadAddress at the first that is no address."""
        if isinstance(ips, str):
            raise BadAddress("give a list of addresses, not one text")
        return self._lookup_many(ips if isinstance(ips, list | tuple) else list(ips))

    def domain(self, name: str) -> Listing:
        """Which feeds name a domain (normalised: lower case, no final dot): exactly, or by a wildcard above it."""
        from blocklistd.index.names import SortedTexts

        texts = SortedTexts(self._hot["domains"])
        labels = name.split(".")
        found = [texts.find(name.encode(errors="replace"))]
        found += [
            texts.find(f"*.{'.'.join(labels[depth:])}".encode(errors="replace")) for depth in range(len(labels) - 1)
        ]
        return self._united("domains", [index for index in found if index >= 0])

    def mail(self, address: str, secret: bytes | None = None) -> Listing:
        """Which feeds name an e-mail address (the address alone, not its domain); secret: that of the data folder."""
        from blocklistd.index.names import SortedDigests, mail_digest

        if secret is None:
            path = self.folder / "secret"
            if not path.exists():
                return NOT_LISTED
            secret = path.read_bytes()
        index = SortedDigests(self._hot["mails"]).find(mail_digest(address.strip().lower(), secret))
        return self._united("mails", [index] if index >= 0 else [])

    def _united(self, role: str, indices: Sequence[int]) -> Listing:
        sets, numbers = self._name_sets[role], self._hot[role].arrays["sets"]
        listings = [sets.listing(numbers[index]) for index in indices]
        if len(listings) <= 1:
            return listings[0] if listings else NOT_LISTED
        named = {feed for listing in listings for feed in listing.feeds}
        return Listing(tuple(record.id for record in self.feeds if record.id in named))

    def autonomous_system(self, ip: Question) -> tuple[int, str] | None:
        """Number and name of the network an address belongs to, None where the tables do not say."""
        record = self._table_record("asn", ip)
        return None if record is None else record[:2]

    def country(self, ip: Question) -> str | None:
        """The two-letter country of an address, None where the tables do not say."""
        record = self._table_record("country", ip)
        return None if record is None else record[1]

    def _table_record(self, role: str, ip: Question) -> tuple[int, str, str] | None:
        section = self._hot.get(role)
        if section is None:
            return None
        family, value = address_of(ip)
        arrays = section.arrays
        if family == 4:
            index = bisect_right(arrays["v4_starts"], value)
            first, end = arrays["v4_starts"][index - 1], _item(arrays["v4_starts"], index, 2**32)
            record = arrays["v4_records"][index - 1]
        else:
            index = bisect_right(_Halves(arrays["v6_high"], arrays["v6_low"]), value)
            halves = _Halves(arrays["v6_high"], arrays["v6_low"])
            first, end = halves[index - 1], _item(halves, index, 2**128)
            record = arrays["v6_records"][index - 1]
        if record == 0:
            return None
        offsets = arrays["name_offsets"]
        name = bytes(arrays["names"][offsets[record] : offsets[record + 1]]).decode()
        return arrays["numbers"][record], name, network_containing(family, first, end - 1, value)

    def networks_naming(self, ip: Question) -> list[Named]:
        """For each feed that names an address, the most exact network as the list wrote it.

        An address in a listed ASN is named by the ASN table's network. Raises BadAddress, SnapshotCorrupt.
        """
        family, value = address_of(ip)
        named = []
        for feed in self.lookup(ip).feeds:
            record = self._records[feed]
            network = self._network_in(record, family, value)
            if network is None and record.kind == "asn":
                row = self._table_record("asn", ip)
                network = row[2] if row else None
            elif network is None and record.widen is not None:
                shift = 128 - record.widen
                network = f"{format_address(family, value >> shift << shift)}/{record.widen}"
            named.append(Named(feed, network or f"{format_address(family, value)}/{32 if family == 4 else 128}"))
        return named

    def entries_section(self, feed_id: str) -> Section:
        """The section with a feed's entries, verified on first use. Raises KeyError, SnapshotCorrupt."""
        section = self._entries.get(feed_id)
        if section is None:
            section = self._entries[feed_id] = self._open_section(self._records[feed_id].section)
        return section

    def _network_in(self, record: FeedRecord, family: int, value: int) -> str | None:
        arrays = self.entries_section(record.id).arrays
        bounds = _bounds(arrays, family)
        if bounds is None:
            return None
        firsts, lasts = bounds
        index = bisect_right(firsts, value) - 1
        parents = arrays.get(f"v{family}_parents")
        while index >= 0:
            if lasts[index] >= value:
                return network_containing(family, firsts[index], lasts[index], value)
            if parents is None:
                break
            index = parents[index] if parents[index] != NO_PARENT else -1
        return None

    def _open_section(self, reference: SectionReference) -> Section:
        return Section(self.folder / SECTIONS / reference.name, reference)


class _Halves:
    """Two columns of 64 bits read as one sequence of 128-bit numbers."""

    __slots__ = ("_high", "_low")

    def __init__(self, high: memoryview, low: memoryview) -> None:
        self._high, self._low = high, low

    def __len__(self) -> int:
        return len(self._high)

    def __getitem__(self, index: int) -> int:
        value: int = self._high[index] << 64 | self._low[index]
        return value


def _bounds(
    arrays: dict[str, memoryview],
    family: int,
) -> tuple[memoryview, memoryview] | tuple[_Halves, _Halves] | None:
    if family == 4:
        return (arrays["v4_first"], arrays["v4_last"]) if "v4_first" in arrays else None
    if "v6_first_high" not in arrays:
        return None
    return (
        _Halves(arrays["v6_first_high"], arrays["v6_first_low"]),
        _Halves(arrays["v6_last_high"], arrays["v6_last_low"]),
    )


def _item(sequence: memoryview | _Halves, index: int, beyond: int) -> int:
    return sequence[index] if index < len(sequence) else beyond


def network_containing(family: int, first: int, last: int, value: int) -> str:
    """A range as text: its CIDR where it is one, else the CIDR inside it that holds the address."""
    for network in networks_of(family, first, last):
        start, _, length = network.partition("/")
        if (
            parse_address(start).value
            <= value
            < parse_address(start).value + (1 << (32 if family == 4 else 128) - int(length))
        ):
            return network
    raise AssertionError("an address outside of its own range")


def address_of(ip: Question) -> Address:
    """Family and value of a question in any of its types. Raises BadAddress."""
    if isinstance(ip, str):
        return parse_address(ip)
    if isinstance(ip, bool) or not isinstance(ip, int | IPv4Address | IPv6Address):
        raise BadAddress(f"{ip!r:.100} is not an IPv4 or IPv6 address")
    value = int(ip)
    if not 0 <= value < 2**128:
        raise BadAddress(f"{value} is no address: those go from 0 to 2**128 - 1")
    if value >> 32 == 0xFFFF:
        return Address(4, value & 0xFFFFFFFF)
    return Address(4 if value < 2**32 and not isinstance(ip, IPv6Address) else 6, value)
