"""Where the aiohttp application keeps what its handlers need. The service itself is light: no aiohttp."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from blocklistd.web.service import Service

SERVICE: Final = web.AppKey("service", Service)
