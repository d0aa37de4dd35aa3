"""The whole HTTP surface: every route in one table, and the application around it.

Takes a ``Service``, gives an aiohttp application. Each row names a route once; the router, the contract
(/openapi.json), the front page, the labels of the metrics and the documentation's tests all walk this table.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from blocklistd.metrics import REQUESTS, SLOT_OF, STATUSES
from blocklistd.web import api, bulk, history, mail, overrides, report
from blocklistd.web.access import admit
from blocklistd.web.handler import Connection
from blocklistd.web.hot import SERVER
from blocklistd.web.keys import SERVICE
from blocklistd.web.openapi import Route, contract
from blocklistd.web.problems import problem_of
from blocklistd.web.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

logger = logging.getLogger(__name__)

# fmt: off
ROUTES: Final = (
    Route("GET", "/v1/ip/{ip}", "ip", api.get_ip, "Which lists name an address", "IpAnswer", (400, 503)),
    Route("POST", "/v1/ip", "ip_bulk", bulk.post_ips, "Many addresses at once", "IpAnswers", (400, 408, 413, 415, 503)),
    Route("GET", "/v1/report/{ip}", "report", report.get_report, "How bad, since when, why, and what to do", "IpReport",
          (400, 503), query=("profile",)),
    Route("POST", "/v1/report", "report_bulk", report.post_reports, "Many reports at once", "IpReports",
          (400, 408, 413, 415, 503), query=("profile",)),
    Route("GET", "/v1/email/{address}", "email", mail.get_email, "How bad an e-mail address is, and why", "MailReport",
          (400, 503), query=("profile",)),
    Route("POST", "/v1/email", "email_bulk", mail.post_emails, "Many e-mail addresses at once", "MailReports",
          (400, 408, 413, 415, 503), query=("profile",)),
    Route("GET", "/v1/domain/{name}", "domain", mail.get_domain, "Which lists name a domain, and how bad it is",
          "DomainAnswer", (400, 503), query=("profile",)),
    Route("GET", "/v1/history/{ip}", "history", history.get_history, "When lists began and ceased to name an address",
          "History", (400, 503)),
    Route("GET", "/v1/feeds", "feeds", api.get_feeds, "The state of every feed", "Feeds"),
    Route("GET", "/v1/feeds/{id}", "feed", api.get_feed, "The state of one feed", "Feed", (404,)),
    Route("POST", "/v1/refresh", "refresh", api.post_refresh, "Fetch now", "Accepted", (401, 403, 409, 503), 202),
    Route("GET", "/v1/overrides", "overrides", overrides.get_overrides, "The overrides", "Overrides", (401, 403, 503)),
    Route("GET", "/v1/overrides/{key}", "override", overrides.get_override, "One override", "Override",
          (400, 401, 403, 404, 503)),
    Route("PUT", "/v1/overrides/{key}", "override_put", overrides.put_override, "Allow or deny", "Override",
          (400, 401, 403, 408, 413, 415, 503), also=(201,)),
    Route("DELETE", "/v1/overrides/{key}", "override_delete", overrides.delete_override, "Take an override away",
          "Override", (400, 401, 403, 404, 503)),
    Route("GET", "/healthz", "healthz", api.get_health, "200 while the process lives", "Health"),
    Route("GET", "/readyz", "readyz", api.get_ready, "200 once there is a snapshot", "Ready", (503,)),
    Route("GET", "/metrics", "metrics", api.get_metrics, "Prometheus metrics", "text"),
    Route("GET", "/openapi.json", "openapi", api.get_openapi, "This contract (OpenAPI 3.1)", "object"),
    Route("GET", "/", "home", api.get_home, "This page", "text"),
)
# fmt: on

GREEDY: Final = {
    "/v1/ip/{ip}": r"/v1/ip/{ip:[\s\S]+}",
    "/v1/report/{ip}": r"/v1/report/{ip:[\s\S]+}",
    "/v1/email/{address}": r"/v1/email/{address:[\s\S]+}",
    "/v1/history/{ip}": r"/v1/history/{ip:[\s\S]+}",
    "/v1/overrides/{key}": r"/v1/overrides/{key:[\s\S]+}",
}
"""The key of an override may be a network, and the local part of a mail address may hold a slash. Asked as an address,
192.0.2.0/24 is a mistake that deserves 400 and a sentence, not 404, and so is one with a line break in it."""

FIRST_SLOT: Final = {
    name: SLOT_OF[REQUESTS, (name, STATUSES[0])] for name in (*(route.name for route in ROUTES), "other")
}


def make_app(service: Service) -> web.Application:
    """The application for one worker."""
    app = web.Application(middlewares=[guard], client_max_size=bulk.MOST_BYTES)
    app[SERVICE] = service
    app[api.ENDPOINTS] = [{"method": route.method, "path": route.path, "summary": route.summary} for route in ROUTES]
    app[api.CONTRACT] = contract(ROUTES)
    app.on_response_prepare.append(finish_headers)
    app.cleanup_ctx.append(hold_snapshot)
    for route in ROUTES:
        path = GREEDY.get(route.path, route.path)
        if route.method == "GET":
            app.router.add_get(path, route.handler, name=route.name)
        else:
            app.router.add_route(route.method, path, route.handler, name=route.name)
    return app


async def hold_snapshot(app: web.Application) -> AsyncIterator[None]:
    """Close the snapshot when the application ends: nobody is left to ask."""
    yield
    await app[SERVICE].judging.close()
    if (servers := app[SERVICE].mail_servers) is not None:
        await servers.close()
    cell = app[SERVICE].cell
    snapshot, cell.snapshot = cell.snapshot, None
    if snapshot is not None:
        snapshot.close()


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every exception into problem details, and count the request."""
    service = request.app[SERVICE]
    if isinstance(request.protocol, Connection):
        request.protocol.head_arrived()
    service.under_way += 1
    try:
        admit(request)
        response = await handler(request)
    except ConnectionError:  # the caller is gone: nobody's fault here, and nobody to tell
        logger.debug("%s %s: the caller is gone", request.method, request.match_info.route.name)
        return web.Response(status=499, reason="Client Closed Request")
    except Exception as error:  # the one place where nothing may get past
        response = problem_of(error)
        if response.status == 500:
            logger.exception("%s %s failed", request.method, request.match_info.route.name)
    finally:
        service.leave()
    slot = FIRST_SLOT[request.match_info.route.name or "other"]
    service.row.add_at(slot + response.status // 100 - 1)
    return response


async def finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Say what answers, not in which version of what; while draining, that this connection ends here."""
    response.headers["Server"] = SERVER
    if request.app[SERVICE].draining:
        response.headers["Connection"] = "close"  # aiohttp has made up its mind about this header before
        response.force_close()
