"""The daemon: one supervisor, N workers that answer, and a refresh child now and then.

- ``launch``      opens sockets and starts the workers before anything heavy is loaded
- ``sockets``     where to listen, and whether that is allowed
- ``supervisor``  lifetime: signals, workers, watchdog, messages
- ``workers``     keeps N worker processes running
- ``worker``      the process that answers over HTTP
- ``control``     the channel between the two
- ``schedule``    when each feed is due                                 [APScheduler]
- ``passes``      one refresh at a time, in a child process with a deadline
- ``child``       the first breath of that child: nice, and never an orphan
- ``catalogue``   the running catalogue and its replacement on SIGHUP
- ``notify``      what systemd is told
- ``logs``        plain lines for people, JSON for collectors
- ``memory``      files without a name that children inherit
"""
