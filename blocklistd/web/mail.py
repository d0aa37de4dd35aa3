"""Reports on mail over HTTP: GET /v1/email/{address}, POST /v1/email, GET /v1/domain/{name}.

Takes addresses or a domain and the name of a profile, gives reports as JSON or msgpack. Bulk is asked and answered as
/v1/report. DNS is asked for single questions alone, and only where the operator wants it. An address is personal data:
it goes into the answer and nowhere else, into no log and no metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from blocklistd.metrics import LISTED, LOOKUPS, SLOT_OF
from blocklistd.web.api import answer, wants_msgpack
from blocklistd.web.bodies import ECHOED, JSON, MSGPACK, Answering, encode
from blocklistd.web.bulk import answer_lines, read_questions, stream, takes_lines
from blocklistd.web.keys import SERVICE
from blocklistd.web.problems import RequestRefused
from blocklistd.web.report import array_of, profile_of

if TYPE_CHECKING:
    from blocklistd.reputation.mail import MailAssessor
    from blocklistd.reputation.mail_address import DomainName
    from blocklistd.reputation.mail_report import MailReport
    from blocklistd.reputation.mail_servers import MailServers
    from blocklistd.web.service import Service

ASKED: Final = SLOT_OF[LOOKUPS, ("email",)]
FOUND: Final = SLOT_OF[LISTED, ("email",)]
BATCH: Final = 5
"""Reports between two pauses: a millisecond, and ten where all are as long and deep as names can be."""


async def get_email(request: web.Request) -> web.Response:
    """Everything known of one e-mail address, and what to do. A text that is none is answered so, not refused."""
    service, profile = request.app[SERVICE], profile_of(request)
    await service.judging.mail(service)
    from blocklistd.reputation.mail_address import read_mail_address

    address = read_mail_address(request.match_info["address"])
    service.policy.profile(profile)  # refused before anybody is asked
    asked, servers = await _ask_dns(service, address.domain if address.problem is None else None)
    mail = await service.judging.mail(service)  # after waiting, so that nothing old is held
    report = mail.mail(address, profile, servers, asked=asked)
    _note(service, report)
    return answer(request, report.as_document())


async def get_domain(request: web.Request) -> web.Response:
    """Which feeds name one domain, and what is known of it as the domain of an e-mail address."""
    service, profile = request.app[SERVICE], profile_of(request)
    await service.judging.mail(service)
    from blocklistd.reputation.mail_address import read_domain_name

    text = request.match_info["name"]
    domain = read_domain_name(text)
    if domain is None:
        raise RequestRefused(400, f"{text[:ECHOED]!r} is not a domain name such as mail.example.org")
    service.policy.profile(profile)
    asked, servers = await _ask_dns(service, domain)
    mail = await service.judging.mail(service)
    report = mail.domain(domain, profile, servers, asked=asked)
    service.row.add(LOOKUPS, "domain")
    if report.feeds:
        service.row.add(LISTED, "domain")
    service.count_verdict(report.name.decision)
    return answer(request, report.as_document())


async def post_emails(request: web.Request) -> web.StreamResponse:
    """The same for each of many e-mail addresses, without DNS."""
    service, profile = request.app[SERVICE], profile_of(request)
    lines = takes_lines(request)
    mail = await service.judging.mail(service)
    service.policy.profile(profile)
    if lines:
        return await answer_lines(request, MailReports(service, mail, profile), lambda: None, BATCH)
    packed = wants_msgpack(request)
    questions = await read_questions(request, "emails")
    mail = await service.judging.mail(service)
    reports = MailReports(service, mail, profile, packed=packed)
    pieces = array_of(reports, questions, BATCH, service.turn, packed=packed)
    return await stream(request, MSGPACK if packed else JSON, pieces)


async def _ask_dns(service: Service, domain: DomainName | None) -> tuple[bool, MailServers | None]:
    """Whether DNS was asked, and its answer."""
    if service.mail_servers is None or domain is None or not domain.public:
        return False, None
    return True, await service.mail_servers.servers(domain.name)


def _note(service: Service, report: MailReport) -> None:
    """Count a report that is given out."""
    service.row.add_at(ASKED)
    if report.name.listed:
        service.row.add_at(FOUND)
    service.count_verdict(report.name.decision)


class MailReports(Answering):
    """Encoded reports for one request."""

    subject = "address"
    example = "someone@example.org"

    def __init__(self, service: Service, mail: MailAssessor, profile: str, *, packed: bool = False) -> None:
        from blocklistd.reputation.mail_address import read_mail_address

        super().__init__(packed=packed)
        self._service, self._mail, self._profile = service, mail, profile
        self._read = read_mail_address

    def single(self, text: str) -> bytes:
        """The report on one address; a text that is none has one, too."""
        report = self._mail.mail(self._read(text), self._profile, None)
        _note(self._service, report)
        return encode(report.as_document(), packed=self._packed)
