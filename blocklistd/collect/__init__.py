"""Bringing lists in: Feed → Fetched → ParsedFeed → Accepted | Refused.

- ``sources``  which URLs a feed is fetched from, without its secrets
- ``pace``     when it may be asked, and what an attempt leaves behind
- ``guard``    where a redirect may lead
- ``fetch``    over HTTP, the home of the HTTP client: ``answer`` reads what came, ``trouble`` says what went wrong,
               ``local`` serves file: URLs
- ``store``    last good bodies on disk; ``state`` what is known of the last fetches
- ``unpack``   compression and archives
- ``parse``    bytes to entries, by ``formats``; ``ranges`` is the fast path of addresses
- ``vet``      whether a version may be used
- ``text``     text of strangers made safe to show and to keep
- ``model``    the types between these stages
"""
