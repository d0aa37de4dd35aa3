"""Where to listen: addresses of the settings, or the sockets systemd hands over; and whether that is allowed.

Takes texts (``host:port``, ``unix:/path``), gives listening sockets. Beyond loopback and unix sockets nothing is
opened without ``allow_anonymous`` or a key that callers can be asked for. Light: standard library only.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from blocklistd.errors import StartFailed, UsageError
from blocklistd.settings import parse_listen
from blocklistd.web.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, MutableMapping

BACKLOG: Final = 1024
FIRST_HANDLE: Final = 3
"""systemd hands over sockets from this number on (sd_listen_fds)."""
SOCKET_MODE: Final = 0o660


def open_sockets(
    addresses: Iterable[str],
    *,
    allow_anonymous: bool,
    environment: MutableMapping[str, str],
    has_keys: Callable[[], bool] = lambda: False,
) -> list[socket.socket]:
    """Listening sockets: systemd's if it hands any over, else one or more for each address.

    has_keys: asked only where an address can be reached from beyond this host.
    Raises UsageError where an address may not be served, StartFailed where one cannot. The LISTEN_ variables are
    taken out of ``environment``: they are meant for this process only.
    """
    sockets = inherited_sockets(environment)
    require = partial(require_allowed, allow_anonymous=allow_anonymous, has_keys=has_keys)
    try:
        if sockets:
            for listener in sockets:
                if listener.family != socket.AF_UNIX:
                    require(listener.getsockname()[0], describe(listener))
            return sockets
        for address in addresses:
            sockets += _open(address, require)
    except BaseException:
        close_sockets(sockets)
        raise
    return sockets


def inherited_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets of systemd's socket activation, if they are meant for this process."""
    meant = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if meant != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for handle in range(FIRST_HANDLE, FIRST_HANDLE + int(count)):
        try:
            listener = socket.socket(fileno=handle)
        except OSError as error:
            raise StartFailed(f"handle {handle} from systemd is no socket: {error.strerror}") from None
        listener.setblocking(False)
        listener.set_inheritable(False)
        sockets.append(listener)
    return sockets


def require_allowed(host: str, shown: str, *, allow_anonymous: bool, has_keys: Callable[[], bool]) -> None:
    """Refuse an address beyond this host where nobody could be asked for a key; raises UsageError."""
    if allow_anonymous or is_loopback(host) or has_keys():
        return
    raise UsageError(
        f"{shown} can be reached from beyond this host, and there are no keys. Listen on 127.0.0.1, [::1] or "
        "unix:/path, make a key in the data folder (blocklistd key add NAME --scope read --data DIR), or add "
        "--allow-anonymous to let anyone who reaches it ask."
    )


def needs_key(listener: socket.socket, *, allow_anonymous: bool) -> bool:
    """Whether requests that come in on a listening socket need a key: it can be reached from beyond this host."""
    if allow_anonymous or listener.family == socket.AF_UNIX:
        return False
    return not is_loopback(listener.getsockname()[0])


def describe(listener: socket.socket) -> str:
    """Where a socket answers, as a URL or unix:path."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def close_sockets(sockets: Iterable[socket.socket]) -> None:
    """Close all."""
    for listener in sockets:
        listener.close()


def socket_files(sockets: Iterable[socket.socket]) -> dict[Path, int]:
    """The files of unix sockets with their inodes, for ``remove_socket_files`` at the end."""
    paths = [Path(listener.getsockname()) for listener in sockets if listener.family == socket.AF_UNIX]
    return {path: path.lstat().st_ino for path in paths}


def remove_socket_files(files: Mapping[Path, int]) -> None:
    """Remove the files of our unix sockets, unless another process has replaced one meanwhile."""
    for path, inode in files.items():
        with suppress(OSError):
            if path.lstat().st_ino == inode:
                path.unlink()


def _open(address: str, require: Callable[[str, str], None]) -> list[socket.socket]:
    target = parse_listen(address)
    if isinstance(target, Path):
        return [_open_unix(target)]
    host, port = target
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartFailed(f"cannot listen on {address}: {host} is no address of this host ({reason})") from None
    names = list(dict.fromkeys((family, (str(name[0]), *name[1:])) for family, _, _, _, name in found))
    for _, name in names:
        require(name[0], address)
    sockets: list[socket.socket] = []
    try:
        for family, name in names:
            try:
                sockets.append(_open_tcp(family, name))
            except OSError as error:
                # a name may stand for ::1 on a host without IPv6; one working address of it is enough
                if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT} and len(names) > 1:
                    continue
                raise StartFailed(_sentence(address, error)) from None
    except BaseException:
        close_sockets(sockets)
        raise
    if not sockets:
        raise StartFailed(f"cannot listen on {address}: it is no address of this host")
    return sockets


def _open_tcp(family: int, name: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(name)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _open_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StartFailed(_sentence(f"unix:{path}", error)) from None
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket file that a killed daemon left behind; a file that is no socket is never touched."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartFailed(f"cannot listen on unix:{path}: a file that is no socket lies there")
    if _answers(path):
        raise StartFailed(_sentence(f"unix:{path}", OSError(errno.EADDRINUSE, "Address already in use")))
    path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a full backlog or a timeout: somebody is there
            return True
        return True


def _sentence(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"cannot listen on {address}: address already in use. Another program, perhaps another blocklistd, "
            "answers there; stop it or choose another --listen."
        )
    if error.errno == errno.EACCES:
        return f"cannot listen on {address}: permission denied. Ports below 1024 and foreign folders need rights."
    return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}"
