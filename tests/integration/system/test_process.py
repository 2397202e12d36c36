"""What the agent asks of the scheduler and the allocator, as the kernel of this machine sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETTLE = "import os, resource; from edgecache.adapters.system.process import settle; settle()\n"
ASK_FOR_BATCH = "import os; os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); print('granted')"
CHUNKS_FOR_A_WHILE = """
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def some():
    return [bytearray(256 * 1024) for _ in range(4)]
some()
before = faults()
for _ in range(100):
    some()
print(faults() - before)
"""


def said_by(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


@pytest.fixture
def ordinary() -> None:
    """These tests are run as most programs are, and may change that."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER or said_by(ASK_FOR_BATCH) != "granted":
        pytest.skip("the tests themselves are run under another policy, or in a sandbox")


@pytest.mark.usefixtures("ordinary")
def test_the_agent_does_not_interrupt_who_runs() -> None:
    thread = "from threading import Thread; t = Thread(target=lambda: print(os.sched_getscheduler(0))); t.start()"
    assert said_by(SETTLE + "print(os.sched_getscheduler(0))") == str(os.SCHED_BATCH)
    assert said_by(SETTLE + thread) == str(os.SCHED_BATCH), "nor do its threads"


@pytest.mark.usefixtures("ordinary")
def test_another_policy_stays_as_it_was_given() -> None:
    given = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
    assert said_by(given + SETTLE + "print(os.sched_getscheduler(0))") == str(os.SCHED_IDLE)


def test_a_sandbox_that_refuses_is_no_error() -> None:
    refuse = (
        "import os\ndef no(*_):\n    print('refused')\n    raise PermissionError(1, 'no')\n"
        "os.sched_setscheduler, os.sched_getscheduler = no, lambda _: os.SCHED_OTHER\n"
    )
    assert said_by(refuse + SETTLE + "print('went on')").split("\n") == ["refused", "went on"]


@pytest.mark.skipif(os.confstr("CS_GNU_LIBC_VERSION") is None, reason="another C library has other habits")
def test_the_pages_of_chunks_are_kept_from_one_to_the_next() -> None:
    pages = 400 * 64
    assert int(said_by(SETTLE + CHUNKS_FOR_A_WHILE)) < pages / 20


CROWDED = """
import os, subprocess, sys, time
from edgecache.adapters.system.process import SchedulerQueue
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
queue = SchedulerQueue()
other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
until = time.monotonic() + 1.0
while time.monotonic() < until:
    pass
other.kill()
print(queue.wait() * 1000)
print(queue.wait() * 1000)
"""


def test_who_shares_a_core_waits_for_it() -> None:
    shared, since = map(float, said_by(CROWDED).split())
    assert shared > 0.5, "milliseconds; the kernel's turns take some"
    assert since < shared


def test_a_kernel_that_does_not_count_has_no_queue() -> None:
    refuse = (
        "import os\nfrom edgecache.adapters.system.process import SchedulerQueue\n"
        "def no(*_):\n    raise FileNotFoundError(2, 'no')\nos.open = no\n"
    )
    assert said_by(refuse + "queue = SchedulerQueue()\nprint(queue.wait(), queue.wait())") == "0.0 0.0"
