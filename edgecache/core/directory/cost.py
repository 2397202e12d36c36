"""What searching costs and brings, structured and unstructured side by side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SearchCost:
    """Counters since the start; messages are those that this node sent."""

    rounds: int = 0
    """Rounds of searching that ended."""
    by_homes: int = 0
    """... of which homes had found something,"""
    by_flood: int = 0
    """... or else the flood,"""
    by_far: int = 0
    """... or else homes of other sites."""
    announcements: int = 0
    """Announce messages: the upkeep of the structured part."""
    claims: int = 0
    """Claims in them."""
    lookups: int = 0
    """Lookups sent."""
    lookup_answers: int = 0
    """Answers given to lookups."""
    floods: int = 0
    """Floods started."""
    flood_messages: int = 0
    """Flood messages sent, our own and passed on."""
    flood_answers: int = 0
    """Answers to floods, our own and passed back."""
    duplicates: int = 0
    """Copies of a flooded question that came in again."""
    suppressed: int = 0
    """Questions not passed on: nothing had come of them a moment ago."""
    refused: int = 0
    """Questions over their asker's budget."""
