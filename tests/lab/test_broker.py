"""The lab's broker and subscriber."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.lab.broker import LabBroker, Subscriber
from tests.lab.netlab import NetLab

pytestmark = pytest.mark.system

PUBLISH = """
import sys
from paho.mqtt import publish
publish.single("a/b", "21.5", retain=True, hostname=sys.argv[1], port=int(sys.argv[2]))
"""


def test_what_one_host_publishes_another_gets(tmp_path: Path) -> None:
    with NetLab(3) as lab, LabBroker(lab, 0, tmp_path, port=11883) as broker:
        subscriber = Subscriber(broker, host=1)
        published = lab.run(2, [sys.executable, "-c", PUBLISH, broker.address, str(broker.port)])
        assert published.returncode == 0, published.stderr
        deadline = time.monotonic() + 10
        while not subscriber.messages:
            assert time.monotonic() < deadline
        assert subscriber.latest() == {"a/b": "21.5"}
        late = Subscriber(broker)
        while not late.messages:
            assert time.monotonic() < deadline
        assert late.messages[0].retained
        late.stop()
        subscriber.stop()
        broker.kill()
