"""What a person is told when there is no room."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def show_bytes(count: int) -> str:
    """A size in the largest unit that leaves at least one before the point."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def no_room(need: int, cap: int, pinned: int, stays: int, *, by_disk: bool) -> str:
    """Why `need` bytes do not fit; `stays` is what cannot be evicted now, `pinned` the part of it that is pinned."""
    wants = show_bytes(need)
    if need > cap:
        return f"{wants} are needed and the cache may hold {show_bytes(cap)}: raise store.max_size"
    if by_disk:
        return f"{wants} are needed and the disk has no room for them above its reserve: free some space on it"
    return (
        f"{wants} are needed and {show_bytes(stays)} of the {show_bytes(cap)} cannot go now "
        f"({show_bytes(pinned)} pinned, the rest in use): unpin or remove something, or try again later"
    )
