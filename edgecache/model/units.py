"""What a SenML unit is called elsewhere: one table for Home Assistant, Sparkplug and people.

Units of RFC 8428 and RFC 8798 that sensors on such devices have; a unit not listed is shown as it is. `/` and its old
name `%` are ratios from 0 to 1, shown in per cent; what already is a percentage has the unit `/100`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgecache.model.reading import Value

COUNTER_SUFFIX: Final = "_total"
"""Ending of the name of a series that only counts up and may begin again at 0."""

_DIGITS = 12
"""Significant digits kept when a value is scaled: hides what binary fractions add, more than any sensor has."""

MEASUREMENT, INCREASING = "measurement", "total_increasing"


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. Shown values are the SenML value times `scale`, in `shown`; `device_class` is Home Assistant's.

    `state_class` is that of a series which is no counter; `secondary` ones need version 26 of SenML (RFC 9100).
    """

    senml: str
    shown: str = ""
    device_class: str = ""
    state_class: str = MEASUREMENT
    scale: float = 1.0
    engineering: str = ""
    """Sparkplug's engUnit."""
    secondary: bool = False

    def show(self, value: Value) -> Value:
        """A value in the unit that is shown; text and flags stay as they are."""
        if self.scale == 1.0 or isinstance(value, bool | str):
            return value
        return float(f"{value * self.scale:.{_DIGITS}g}")


def _primary(
    senml: str, shown: str = "", device_class: str = "", *, scale: float = 1.0, state_class: str = MEASUREMENT
) -> Unit:
    name = shown or senml
    return Unit(senml, name, device_class, state_class, scale, name)


def _secondary(senml: str, shown: str = "", device_class: str = "", *, state_class: str = MEASUREMENT) -> Unit:
    name = shown or senml
    return Unit(senml, name, device_class, state_class, 1.0, name, secondary=True)


_TABLE: Final = (
    _primary("Cel", "°C", "temperature"),
    _primary("K", "K", "temperature"),
    _primary("%RH", "%", "humidity"),
    _primary("%EL", "%", "battery"),
    _primary("EL", "s", "duration"),
    _primary("/", "%", scale=100.0),
    _primary("%", "%", scale=100.0),
    _primary("Pa", "Pa", "pressure"),
    _primary("lx", "lx", "illuminance"),
    _primary("W/m2", "W/m²", "irradiance"),
    _primary("V", "V", "voltage"),
    _primary("A", "A", "current"),
    _primary("W", "W", "power"),
    _primary("VA", "VA", "apparent_power"),
    _primary("var", "var", "reactive_power"),
    _primary("J", "J", "energy", state_class=INCREASING),
    _primary("Hz", "Hz", "frequency"),
    _primary("m", "m", "distance"),
    _primary("m2", "m²"),
    _primary("m3", "m³"),
    _primary("l", "L"),
    _primary("l/s", "L/s"),
    _primary("m3/s", "m³/s"),
    _primary("m/s", "m/s", "speed"),
    _primary("m/s2", "m/s²"),
    _primary("kg", "kg", "weight"),
    _primary("g", "g", "weight"),
    _primary("kg/m3", "kg/m³"),
    _primary("s", "s", "duration"),
    _primary("B", "B", "data_size"),
    _primary("bit", "bit", "data_size"),
    _primary("bit/s", "bit/s", "data_rate"),
    _primary("dB", "dB"),
    _primary("dBW", "dBW"),
    _primary("deg", "°"),
    _primary("lat", "°"),
    _primary("lon", "°"),
    _primary("Ohm", "Ω"),
    _primary("1/s", "1/s"),
    _primary("1/min", "1/min"),
    Unit("pH", "", "ph", engineering="pH"),
    Unit("count"),
    _secondary("ms", "ms", "duration"),
    _secondary("min", "min", "duration"),
    _secondary("h", "h", "duration"),
    _secondary("mV", "mV", "voltage"),
    _secondary("mA", "mA", "current"),
    _secondary("kW", "kW", "power"),
    _secondary("Wh", "Wh", "energy", state_class=INCREASING),
    _secondary("kWh", "kWh", "energy", state_class=INCREASING),
    _secondary("MHz", "MHz", "frequency"),
    _secondary("KiB", "KiB", "data_size"),
    _secondary("GB", "GB", "data_size"),
    _secondary("Mbit/s", "Mbit/s", "data_rate"),
    _secondary("B/s", "B/s", "data_rate"),
    _secondary("MB/s", "MB/s", "data_rate"),
    _secondary("hPa", "hPa", "pressure"),
    _secondary("mm", "mm", "distance"),
    _secondary("cm", "cm", "distance"),
    _secondary("km", "km", "distance"),
    _secondary("km/h", "km/h", "speed"),
    _secondary("mm/h", "mm/h", "precipitation_intensity"),
    _secondary("dBm", "dBm", "signal_strength"),
    _secondary("ug/m3", "µg/m³"),
    _secondary("ppm", "ppm"),
    _secondary("/100", "%"),
    _secondary("/1000", "‰"),
)

UNITS: Final = {unit.senml: unit for unit in _TABLE}

_COUNTABLE: Final = frozenset({"", "data_size", "distance", "duration", "energy", "weight"})
"""Device classes that Home Assistant lets increase for ever."""


def unit_of(senml: str) -> Unit:
    """The entry of a unit; one that is not in the table is shown as it is written."""
    return UNITS.get(senml) or Unit(senml, senml, engineering=senml)


def state_class_of(series: str, value: Value, unit: Unit) -> str:
    """Home Assistant's state class of a series; empty for text and flags, which have none."""
    if isinstance(value, bool | str):
        return ""
    if series.endswith(COUNTER_SUFFIX) and unit.device_class in _COUNTABLE:
        return INCREASING
    return unit.state_class
