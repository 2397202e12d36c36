"""The clock, the log and the identity of the device that the tests run on."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from edgecache.adapters.system.addresses import AddressWatcher, interfaces, own_addresses
from edgecache.adapters.system.clock import SystemClock, kernel_synchronised
from edgecache.adapters.system.device import host_id
from edgecache.adapters.system.journal import configure_logging
from edgecache.model.peer import Address
from edgecache.ports import Clock


def test_the_clock_is_a_clock() -> None:
    clock: Clock = SystemClock()
    first = clock.now()
    assert 0 <= clock.now() - first < 1
    assert first >= time.monotonic() - 1, "sleep counts, so it is never behind"
    assert abs(clock.wall() - time.time()) < 1
    assert isinstance(clock.wall_trusted(), bool)


def test_trust_is_what_the_kernel_says() -> None:
    assert kernel_synchronised() in (True, False, None)
    if "INVOCATION_ID" not in os.environ and kernel_synchronised() is not None:
        assert SystemClock().wall_trusted() == kernel_synchronised()


def test_journald_gets_priorities_and_no_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        try:
            configure_logging("info", stream)
            logging.getLogger("edgecache.test").warning("careful")
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
        stream.seek(0)
        assert stream.read() == "<4>careful\n"


def test_host_id_is_salted_stable_and_falls_back(tmp_path: Path) -> None:
    machine, boot, none = tmp_path / "machine", tmp_path / "boot", tmp_path / "none"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    boot.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    assert host_id(machine, boot).hex() == "bc5401dfcd8d7ba5"
    assert host_id(machine, boot) == host_id(machine, none)
    assert host_id(none, boot) not in (b"", host_id(machine, boot))
    machine.write_text("uninitialized\n")
    assert host_id(machine, boot) == host_id(none, boot)
    assert host_id(none, none) == b""


def test_own_addresses_are_of_this_machine() -> None:
    every = {host for each in interfaces() for host in each.addresses}
    own = own_addresses(5684)
    assert own
    assert {a.host for a in own} <= every
    assert {a.port for a in own} == {5684}


def test_the_watcher_reports_changes_once() -> None:
    async def scenario() -> None:
        now = (Address("10.0.0.1", 1),)
        changes: list[tuple[Address, ...]] = []
        watcher = AddressWatcher(lambda: now, changes.append, period=0.01)
        watcher.start()
        await asyncio.sleep(0.05)
        assert changes == []
        now = (Address("10.0.0.2", 1),)
        async with asyncio.timeout(5):
            while not changes:
                await asyncio.sleep(0.01)
        await watcher.stop()
        assert changes == [now]
        assert watcher.current == now

    asyncio.run(scenario())
