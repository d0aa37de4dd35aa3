"""Answering over HTTP.

- ``app``       the route table and the application
- ``api``       the handlers: read the question, ask the core, choose a response
- ``bulk``      many questions in one request
- ``ahead``     a body, read while its answer is being written
- ``lines``     bytes of a text body as lines
- ``bodies``    answers as JSON or msgpack bytes
- ``feeds``     what is known of each feed, put together from snapshot, fetch state and last refresh
- ``notices``   what the supervisor tells the workers
- ``problems``  every error as RFC 9457 problem details
- ``connections``  what the connections of a worker share: hot path, clock, limit, end
- ``protocol``  one connection: plain lookups answered at once, everything else handed over to aiohttp
- ``hot``       plain lookups, request bytes to response bytes
- ``handler``   aiohttp's connection handler: its limits, and answers to bytes that are no request
- ``access``    who may ask for what
- ``loopback``  which addresses belong to this host alone
- ``scrape``    the samples behind /metrics
- ``openapi``   the contract, made from the route table
- ``service``   what the handlers share

``connections``, ``feeds``, ``hot``, ``lines``, ``loopback``, ``notices`` and ``protocol`` are light (no aiohttp) and
may be used without the server.
"""
