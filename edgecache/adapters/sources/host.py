"""What the device says about itself: load, memory, disk, temperature, network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

LOAD = "host/load1"
MEMORY = "host/memory_used"
DISK = "host/disk_used"
TEMPERATURE = "host/cpu_temperature"
RECEIVED = "host/network_received"
SENT = "host/network_sent"
"""Series. The slash keeps them apart from those of other sources, whose names cannot have one."""

SERIES_OF = {
    "load": (LOAD,),
    "memory": (MEMORY,),
    "disk": (DISK,),
    "temperature": (TEMPERATURE,),
    "network": (RECEIVED, SENT),
}
"""The series of each metric of the configuration."""

_CPU_SENSORS = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "cpu-thermal", "zenpower", "acpitz")
"""Names of drivers, those nearest to the cores first."""

_NOT_THE_NETWORK = ("lo", "docker", "br-", "veth", "virbr", "cni", "ifb")
"""Beginnings of the names of interfaces whose traffic stays on the device or is counted elsewhere too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series, or why there is none."""

    series: str
    value: float | None
    unit: str = ""
    failure: str = ""


class HostProbe:
    """Reads the wanted metrics; blocking. What this device has never had is left out, what it lost is a failure."""

    def __init__(self, metrics: Iterable[str], data_dir: Path, now: Callable[[], float]) -> None:
        self._metrics = tuple(metrics)
        self._data_dir = data_dir
        self._now = now
        self._had: set[str] = set()
        self._traffic: tuple[float, int, int] | None = None

    def read(self) -> list[Sample]:
        """All metrics now; one that fails does not stop the others."""
        samples: list[Sample] = []
        for metric in self._metrics:
            samples += self._metric(metric)
        return samples

    def _metric(self, metric: str) -> list[Sample]:
        probes = {
            "load": self._load,
            "memory": self._memory,
            "disk": self._disk,
            "temperature": self._temperature,
            "network": self._network,
        }
        try:
            samples = probes[metric]()
            reason = "this device does not tell it any more"
        except (OSError, psutil.Error, ValueError, AttributeError) as error:
            samples, reason = [], str(error) or type(error).__name__
        if not samples and metric in self._had:
            return [Sample(series, None, failure=reason) for series in SERIES_OF[metric]]
        if samples:
            self._had.add(metric)
        return [sample for sample in samples if sample.value is not None and math.isfinite(sample.value)]

    def _load(self) -> list[Sample]:
        return [Sample(LOAD, round(os.getloadavg()[0], 2))]

    def _memory(self) -> list[Sample]:
        memory = psutil.virtual_memory()
        return [Sample(MEMORY, round(1 - memory.available / memory.total, 3), "/")]

    def _disk(self) -> list[Sample]:
        return [Sample(DISK, round(psutil.disk_usage(str(self._data_dir)).percent / 100, 3), "/")]

    def _temperature(self) -> list[Sample]:
        sensors = psutil.sensors_temperatures()
        names = [name for name in _CPU_SENSORS if name in sensors] or sorted(sensors)
        for name in names:
            if sensors[name]:
                return [Sample(TEMPERATURE, round(sensors[name][0].current, 1), "Cel")]
        return []

    def _network(self) -> list[Sample]:
        """Bytes per second since the last call; nothing the first time."""
        counters = psutil.net_io_counters(pernic=True)
        real = [count for name, count in counters.items() if not name.startswith(_NOT_THE_NETWORK)]
        now, received, sent = self._now(), sum(c.bytes_recv for c in real), sum(c.bytes_sent for c in real)
        before, self._traffic = self._traffic, (now, received, sent)
        if not real:
            return []
        if before is None or now <= before[0] or received < before[1] or sent < before[2]:
            self._had.discard("network")
            return []
        elapsed = now - before[0]
        return [
            Sample(RECEIVED, round((received - before[1]) / elapsed), "B/s"),
            Sample(SENT, round((sent - before[2]) / elapsed), "B/s"),
        ]
