"""mosquitto: a broker, idle."""

from __future__ import annotations

from tests.compare.entrant import Daemon, tool
from tests.compare.process import wait_for
from tests.compare.scenario import SEED

PORT = 1883
START_TIMEOUT = 10.0


class Mosquitto(Daemon):
    """It takes part only in doing nothing."""

    def prepare(self) -> None:
        configuration = self.task.home(SEED) / "mosquitto.conf"
        address = self.task.ground.address(SEED)
        configuration.write_text(f"listener {PORT} {address}\nallow_anonymous true\nlog_type none\n")
        broker = self.task.ground.start(SEED, [tool("mosquitto") or "mosquitto", "-c", configuration])
        self.programs[SEED].append(broker)
        wait_for("mosquitto listens", lambda: broker.listens(PORT), START_TIMEOUT)
