"""The unit table: what dashboards accept."""

from __future__ import annotations

import pytest

from edgecache.model.units import INCREASING, MEASUREMENT, UNITS, state_class_of, unit_of

ACCEPTED = {
    "temperature": {"°C", "K"},
    "humidity": {"%"},
    "battery": {"%"},
    "duration": {"d", "h", "min", "s", "ms"},
    "pressure": {"Pa", "hPa"},
    "illuminance": {"lx"},
    "irradiance": {"W/m²"},
    "voltage": {"V", "mV"},
    "current": {"A", "mA"},
    "power": {"W", "kW"},
    "apparent_power": {"VA"},
    "reactive_power": {"var"},
    "energy": {"J", "Wh", "kWh"},
    "frequency": {"Hz", "MHz"},
    "distance": {"mm", "cm", "m", "km"},
    "speed": {"m/s", "km/h"},
    "weight": {"g", "kg"},
    "data_size": {"bit", "B", "KiB", "GB"},
    "data_rate": {"bit/s", "Mbit/s", "B/s", "MB/s"},
    "ph": {""},
    "precipitation_intensity": {"mm/h"},
    "signal_strength": {"dBm"},
}
"""Units that Home Assistant takes with a device class."""


def test_units_fit_their_device_class() -> None:
    for unit in UNITS.values():
        if unit.device_class:
            assert unit.shown in ACCEPTED[unit.device_class], unit
        assert len(unit.senml) <= 16
        assert unit.state_class == (INCREASING if unit.device_class == "energy" else MEASUREMENT)


def test_a_unit_stands_once_and_says_something_to_sparkplug() -> None:
    assert all(unit.engineering or unit.senml == "count" for unit in UNITS.values())
    assert all(name == unit.senml for name, unit in UNITS.items())


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("Cel", 21.5, 21.5),
        ("/", 0.57, 57.0),
        ("%", 0.123, 12.3),
        ("/", True, True),
        ("/", "off", "off"),
        ("/100", 57, 57),
        ("hPa", 1013.25, 1013.25),
        ("count", 7, 7),
    ],
)
def test_values_are_scaled_to_what_is_shown(unit: str, value: float, shown: float) -> None:
    found = unit_of(unit).show(value)
    assert found == shown
    assert type(found) is type(shown)


def test_unknown_units_are_shown_as_written() -> None:
    unit = unit_of("furlong")
    assert (unit.shown, unit.engineering, unit.device_class, unit.secondary) == ("furlong", "furlong", "", False)
    assert unit_of("").shown == ""


@pytest.mark.parametrize(
    ("series", "value", "unit", "expected"),
    [
        ("temp", 1.0, "Cel", MEASUREMENT),
        ("net/received_total", 1, "B", INCREASING),
        ("errors_total", 1, "count", INCREASING),
        ("temp_total", 1.0, "Cel", MEASUREMENT),
        ("meter", 1.0, "kWh", INCREASING),
        ("door", True, "", ""),
        ("mode", "eco", "", ""),
    ],
)
def test_state_classes(series: str, value: float, unit: str, expected: str) -> None:
    assert state_class_of(series, value, unit_of(unit)) == expected
