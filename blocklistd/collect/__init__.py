"""Bringing lists in: Feed → Fetched → ParsedFeed → Accepted | Refused | Quarantined.

- ``sources``  which URLs a feed is fetched from, without its secrets
- ``pace``     when it may be asked, and what an attempt leaves behind
- ``guard``    where a redirect may lead
- ``fetch``    over HTTP, the home of the HTTP client: ``answer`` reads what came, ``trouble`` says what went wrong,
               ``local`` serves file: URLs
- ``store``    last good bodies on disk, and those in quarantine; ``state`` what is known of the last fetches,
               ``past`` of the versions that went into force
- ``unpack``   compression and archives
- ``parse``    bytes to entries, by ``formats``; ``ranges`` is the fast path of addresses
- ``vet``      whether a version may be used: whether it is a list at all, and by ``gate`` whether it can be believed
- ``text``     text of strangers made safe to show and to keep
- ``model``    the types between these stages
"""
