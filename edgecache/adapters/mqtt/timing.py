"""Times of the MQTT adapter, in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Each default with its cost both ways."""

    backoff: float = 1.0
    """First wait after a lost or refused connection, doubled each time. Less: a restarting broker sees more attempts;
    more: readings are late after a short outage."""
    backoff_max: float = 15.0
    """... up to this. More spares a broker that is down for days, but it is missed for longer when it is back."""
    settle: float = 0.3
    """From the broker's acknowledgement of a subscription until what it retains has surely arrived. Less: an old term
    may be overlooked, which costs one more take-over; more: later starts. Measured: below 0.01 on a LAN. A guess."""
    hold: float = 2.0
    """A bridge whose connection ends does not come back before this: if another has taken over, its term arrives
    meanwhile. Less: two bridges may take the session from each other; more: a longer gap after a plain hiccup."""
    birth_jitter: float = 5.0
    """After Home Assistant's start everything is published again, later by a random part of this, as it asks for."""
    reassert: float = 1.0
    """Least time between two corrections of what somebody else wrote over our own state topics."""
    patience: float = 600.0
    """From when a series is gone until its entity is taken away, unless it comes back. Less: an agent whose sources
    come up slowly after a restart costs its owner the names and rooms given in Home Assistant; more: ghosts."""
    journal: float = 1.0
    """Changes of the journal within this are written together: spares the SD card."""
    goodbye: float = 0.5
    """For the last messages, and again for the end of a connection, when the agent stops: three times this is within
    the 2 s that a clean stop may take."""
