"""What this host is to the network, from the kernel's and the resolver's own words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.addresses import Address, format_address, parse_address
from blocklistd.reputation.host import (
    KERNEL,
    LARGEST,
    RECORD,
    Host,
    gateways4,
    gateways6,
    look,
    name_servers,
    own4,
    own6,
    read_host,
    record_host,
)

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 198.51.100.0/24 2 0 2
        |-- 198.51.100.0
           /24 link UNICAST
        |-- 198.51.100.7
           /32 host LOCAL
        |-- 198.51.100.9
           /32 universe UNICAST
"""
IF_INET6 = """\
20010db8000000000000000000000007 02 40 00 80     eth0
fe80000000000000021122fffe334455 02 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""
GATEWAY, INSIDE = (
    format(int.from_bytes(socket.inet_aton(text), sys.byteorder), "08X") for text in ("198.51.100.1", "198.51.100.2")
)
ROUTE = f"""\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t{GATEWAY}\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
eth0\t006433C6\t{INSIDE}\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
ZERO = "0" * 32
IPV6_ROUTE = f"""\
20010db8000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth0
20010db9000000000000000000000000 40 {ZERO} 00 fe800000000000000000000000000002 00000400 00000002 00000000 00000003 eth0
{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
"""
RESOLV = "# comment\nsearch example.net\nnameserver 198.51.100.53\nnameserver fe80::53%eth0\nnameserver example\n"


def addresses(*texts: str) -> frozenset[Address]:
    return frozenset(map(parse_address, texts))


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "net"
    folder.mkdir()
    for name, text in (
        ("fib_trie", FIB_TRIE),
        ("if_inet6", IF_INET6),
        ("route", ROUTE),
        ("ipv6_route", IPV6_ROUTE),
    ):
        (folder / name).write_text(text)
    (folder / "resolv.conf").write_text(RESOLV)
    return folder


EXPECTED = Host(
    own=addresses("127.0.0.1", "198.51.100.7", "2001:db8::7", "fe80::211:22ff:fe33:4455", "::1"),
    gateways=addresses("198.51.100.1", "fe80::1"),
    resolvers=addresses("198.51.100.53", "fe80::53"),
)


def test_the_kernel_and_the_resolver_are_read(kernel: Path) -> None:
    """Own addresses without broadcast and routed ones, gateways of default routes, name servers that are addresses."""
    assert look(kernel, [kernel / "resolv.conf"]) == EXPECTED


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel shows this on Linux only")
def test_this_host_is_read() -> None:
    """Here and now: loopback, and the address with which a socket would go out where there is a route."""
    host = look()
    assert host.problems == ()
    assert parse_address("127.0.0.1") in host.own
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.88.99.1", 9))  # sends nothing
        except OSError:
            return
        assert parse_address(probe.getsockname()[0]) in host.own


@given(st.lists(st.text(max_size=60), max_size=20))
def test_lines_of_any_kind_are_survived(lines: list[str]) -> None:
    """Whatever stands there, only addresses come out."""
    for read in (own4, own6, gateways4, gateways6, name_servers):
        assert all(parse_address(format_address(*found)) for found in read(lines))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Without the kernel's files nothing is known, and each one that is needed is a sentence."""
    host = look(tmp_path / "absent", [])
    assert (host.own, host.gateways) == (frozenset(), frozenset())
    assert host.problems == tuple(
        f"{tmp_path / 'absent' / name}: No such file or directory" for name in ("fib_trie", "route")
    )


def test_a_router_is_told_to_name_its_addresses(kernel: Path) -> None:
    """A table of routes that is too large is read as far as allowed, and said."""
    (kernel / "fib_trie").write_text(FIB_TRIE + "x" * LARGEST)
    host = look(kernel, [])
    assert parse_address("198.51.100.7") in host.own
    assert host.problems == (
        f"{kernel / 'fib_trie'}: larger than {LARGEST} bytes, so name this host's addresses in the policy",
    )


def test_a_process_without_a_network_reads_what_the_refresh_recorded(kernel: Path, tmp_path: Path) -> None:
    """Where the process sees loopback alone the record counts, for two days."""
    record_host(tmp_path, EXPECTED, now=1_000_000.0)
    alone(kernel)
    seen = read_host(tmp_path, kernel=kernel, resolver_files=[], now=1_000_000.0 + 86400)
    assert seen.own == EXPECTED.own | addresses("127.0.0.2", "::1")
    assert seen.gateways == EXPECTED.gateways
    assert seen.resolvers == EXPECTED.resolvers
    late = read_host(tmp_path, kernel=kernel, resolver_files=[], now=1_000_000.0 + 3 * 86400)
    assert late.own == addresses("127.0.0.2", "::1")


def alone(kernel: Path) -> None:
    """Leave nothing but loopback."""
    (kernel / "fib_trie").write_text("     |-- 127.0.0.2\n        /32 host LOCAL\n")
    (kernel / "if_inet6").write_text(IF_INET6.splitlines()[-1])


def test_a_process_that_sees_the_network_believes_the_kernel(kernel: Path, tmp_path: Path) -> None:
    """An address that the host has given back since the last refresh is not its own any more."""
    record_host(tmp_path, Host(own=addresses("192.0.2.1"), gateways=addresses("192.0.2.2")))
    assert read_host(tmp_path, kernel=kernel, resolver_files=[kernel / "resolv.conf"]) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"at": 1000000}', b'{"at": "x", "own": []}', b"\xff", b"[" * 5000, b"NaN",
     b'{"at": 1000000, "own": ["example"], "gateways": [], "resolvers": []}',
     b'{"at": 1000000, "own": [5], "gateways": [], "resolvers": []}'],
)  # fmt: skip
def test_a_damaged_record_is_named_and_not_used(kernel: Path, tmp_path: Path, content: bytes) -> None:
    """What the process sees itself still counts."""
    (tmp_path / RECORD).write_bytes(content)
    alone(kernel)
    host = read_host(tmp_path, kernel=kernel, resolver_files=[], now=1_000_000.0)
    assert host.own == addresses("127.0.0.2", "::1")
    (problem,) = host.problems
    assert problem.startswith(f"{tmp_path / RECORD}: not readable, the next refresh writes it anew")


@pytest.mark.skipif(not KERNEL.is_dir() or os.geteuid() != 0, reason="mounting needs root")
def test_the_sandbox_of_the_units_leaves_what_is_read() -> None:
    """Under ``ProcSubset=pid`` and ``ProtectProc=invisible`` this host's addresses are still to be seen."""
    code = "from blocklistd.reputation.host import look; host = look(); print(len(host.own), host.problems)"
    mount = "mount -t proc -o subset=pid,hidepid=invisible proc /proc && ! test -e /proc/cpuinfo"
    command = ["unshare", "--mount", "sh", "-c", f"{mount} && exec {sys.executable} -c '{code}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "ermission denied" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("this host lets nobody mount")
    own, problems = done.stdout.split(maxsplit=1)
    assert int(own) >= 1
    assert problems.strip() == "()"
