"""One cycle: fetch → parse → vet → compile → publish → RefreshReport.

The only place that joins ``collect`` and ``index``. It runs in a process of its own (``blocklistd refresh``), one at
a time in a data folder.

- ``cycle``    the whole pass
- ``feeds``    one feed through it; ``records`` what is put down about it
- ``lane``     the process that parses what strangers wrote
- ``lanes``    its parent's side: as many as there are processors, each with a deadline
- ``measure``  a version in numbers, beside the one before it; ``canaries`` what no list of risk should name
- ``decisions`` what the operator decided about quarantined bodies
- ``lock``     one refresh at a time
- ``report``   what happened, feed by feed
"""
