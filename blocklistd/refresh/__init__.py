"""One cycle: fetch → parse → vet → compile → publish → RefreshReport.

The only place that joins ``collect`` and ``index``. It runs in a process of its own (``blocklistd refresh``), one at
a time in a data folder.

- ``cycle``    the whole pass
- ``feeds``    one feed through it
- ``lanes``    processes that parse what strangers wrote, with a deadline
- ``lock``     one refresh at a time
- ``report``   what happened, feed by feed
"""
