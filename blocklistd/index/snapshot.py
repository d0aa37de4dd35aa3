"""One snapshot, opened: immutable files, mapped, shared between processes; and every question to it.

    with Snapshot.open_current(Path("data")) as snapshot:
        snapshot.lookup("192.0.2.1").feeds

A snapshot never changes; a newer one is another object (see ``current``). Opening verifies every section that
lookups use; the entries of a feed are verified when they are first asked for. Whatever the bytes on disk are, an
answer is right or SnapshotCorrupt is raised.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from blocklistd.addresses import Address, parse_address
from blocklistd.errors import BadAddress, NoSnapshot, SnapshotCorrupt, StorageFailed
from blocklistd.index.feed_sections import FeedSections
from blocklistd.index.folder import candidates, published
from blocklistd.index.layout import SECTIONS, SNAPSHOTS, Section, SectionReference, read_manifest
from blocklistd.index.listing import NOT_LISTED, Listing
from blocklistd.index.record import FeedRecord
from blocklistd.index.search import FeedSets, Segments4, Segments6, open_lookup
from blocklistd.index.seen import ON_LIST, Seen, Sighted
from blocklistd.index.sightings import Sightings
from blocklistd.index.tables import NOTHING, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from blocklistd.index.search import AnyLookup
    from blocklistd.index.sightings import Sighting

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
        self._hot: dict[str, Section] = {}
        self._of_feeds: FeedSections | None = None
        self.searcher: AnyLookup | None = None
        try:
            self.generation: int = int(document["generation"])
            self.built_at: float = float(document["built_at"])
            self.rolled_back_to: str | None = document.get("rolled_back_to")
            self.feeds = tuple(FeedRecord.from_document(row) for row in document["feeds"])
            self._records = {record.id: record for record in self.feeds}
            self.sections = {role: SectionReference(**row) for role, row in document["sections"].items()}
            for role, reference in self.sections.items():
                self._hot[role] = Section(folder / SECTIONS / reference.name, reference)
            ids = tuple(record.id for record in self.feeds)
            four, six = Segments4(self._hot["v4"], ids), Segments6(self._hot["v6"], ids)
            self.segments = len(four), len(six)
            self.searcher = searcher = open_lookup(four, six, address_of)
            self.lookup = searcher.lookup
            self._lookup_many = searcher.lookup_many
            self.lookup_many_integers = searcher.lookup_many_integers
            self.tables = {role: Table(self._hot[role]) for role in ("asn", "country")}
            self._of_feeds = FeedSections(self._records, folder)
            self.witnesses = Sightings(self._records, self._of_feeds, self.tables["asn"])
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
            raise SnapshotCorrupt(f"{data} holds no usable snapshot ({problem}): run blocklistd refresh") from problem
        raise NoSnapshot(f"{data} holds no snapshot yet: run blocklistd refresh, or name the folder that has one")

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
        for section in self._hot.values():
            section.close()
        self._hot = {}
        if self._of_feeds is not None:
            self._of_feeds.close()

    def lookup_many(self, ips: Iterable[Question]) -> list[Listing]:
        """The same for many, in the order asked. Raises BadAddress at the first that is no address."""
        if isinstance(ips, str):
            raise BadAddress("give a list of addresses, not one text")
        return self._lookup_many(ips if isinstance(ips, list | tuple) else list(ips))

    def domain(self, name: str, *, wildcards: bool = True) -> Listing:
        """Which feeds name a domain (normalised: lower case, no final dot): exactly, or by a wildcard above it.

        wildcards: without them exactly alone.
        """
        from blocklistd.index.names import SortedTexts

        texts = SortedTexts(self._hot["domains"])
        found = [texts.find(form.encode(errors="replace")) for form in (_forms_of(name) if wildcards else (name,))]
        return self._united("domains", [index for index in found if index >= 0])

    def mail(self, address: str, secret: bytes | None = None) -> Listing:
        """Which feeds name an e-mail address (the address alone, not its domain); secret: that of the data folder."""
        from blocklistd.index.names import SortedDigests

        digest = self._digest_of(address, secret)
        if digest is None:
            return NOT_LISTED
        index = SortedDigests(self._hot["mails"]).find(digest)
        return self._united("mails", [index] if index >= 0 else [])

    def name_seen(self, feed_id: str, name: str, secret: bytes | None = None) -> Sighted | None:
        """First and last seen of a domain or e-mail address by one feed that may name it, None where it does not.

        Takes what ``domain`` and ``mail`` take; of a wildcard and the name itself the name counts. Raises KeyError,
        SnapshotCorrupt.
        """
        record, section = self._records[feed_id], self.seen_section(feed_id)
        if section is None:
            named = self.mail(name, secret) if record.kind == "email" else self.domain(name)
            return Sighted(int(record.first_seen), ON_LIST, True) if feed_id in named.feeds else None
        seen = Seen(section)
        if record.kind == "email":
            digest = self._digest_of(name, secret)
            return None if digest is None else seen.mail(digest)
        return next((found for form in _forms_of(name) if (found := seen.domain(form)) is not None), None)

    def _digest_of(self, address: str, secret: bytes | None) -> bytes | None:
        """The keyed digest of an address, None where no secret was ever made."""
        from blocklistd.index.names import mail_digest

        path = self.folder / "secret"
        if secret is None and not path.exists():
            return None
        return mail_digest(address.strip().lower(), path.read_bytes() if secret is None else secret)

    def _united(self, role: str, indices: Sequence[int]) -> Listing:
        sets, numbers = self._name_sets[role], self._hot[role].arrays["sets"]
        listings = [sets.listing(numbers[index]) for index in indices]
        if len(listings) <= 1:
            return listings[0] if listings else NOT_LISTED
        named = {feed for listing in listings for feed in listing.feeds}
        return Listing(tuple(record.id for record in self.feeds if record.id in named))

    def autonomous_system(self, ip: Question) -> tuple[int, str] | None:
        """Number and name of the network an address belongs to, None where the tables do not say."""
        return self._row("asn", ip)

    def country(self, ip: Question) -> str | None:
        """The two-letter country of an address, None where the tables do not say."""
        row = self._row("country", ip)
        return None if row is None else row[1]

    def _row(self, role: str, ip: Question) -> tuple[int, str] | None:
        table = self.tables[role]
        record = table.record(*address_of(ip))
        return None if record == NOTHING else table.row(record)

    def networks_naming(self, ip: Question) -> list[Named]:
        """For each feed that names an address, the most exact network as the list wrote it.

        An address in a listed ASN is named by the ASN table's network. Raises BadAddress, SnapshotCorrupt.
        """
        return [Named(sighting.record.id, sighting.network) for sighting in self.sightings(ip)]

    def sightings(self, ip: Question) -> list[Sighting]:
        """The same with first and last seen. Raises BadAddress, SnapshotCorrupt."""
        return self.witnesses.of(*address_of(ip), self.lookup(ip).feeds)

    def entries_section(self, feed_id: str) -> Section:
        """The section with a feed's entries, verified on first use. Raises KeyError, SnapshotCorrupt."""
        assert self._of_feeds is not None
        return self._of_feeds.entries(feed_id)

    def seen_section(self, feed_id: str) -> Section | None:
        """The section with a feed's first and last seen, None where its record says it all. Raises as above."""
        assert self._of_feeds is not None
        return self._of_feeds.seen(feed_id)

    def section(self, role: str) -> Section:
        """The section of a role, ``v4`` and so on; it is open as long as the snapshot. Raises KeyError."""
        return self._hot[role]


def _forms_of(name: str) -> list[str]:
    """A domain itself and the wildcards that hold it, the most exact first."""
    labels = name.split(".")
    return [name, *(f"*.{'.'.join(labels[depth:])}" for depth in range(len(labels) - 1))]


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
