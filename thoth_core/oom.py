"""Whether the kernel ended a process for want of memory, as far as it tells."""

from __future__ import annotations

from pathlib import Path

_SYSTEM = Path("/proc/vmstat")
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def oom_kills(system: Path = _SYSTEM, own_group: Path = _OWN_GROUP) -> int | None:
    """How many processes it ended so; None where it does not say.

    Of this process's control group if that has a count, since that concerns nobody else's
    processes; otherwise of the whole system since its start.
    """
    events = _read(own_group)
    group = group_folder(events) if events is not None else None
    for path in (group / "memory.events" if group is not None else None, system):
        text = _read(path) if path is not None else None
        found = counted(text) if text is not None else None
        if found is not None:
            return found
    return None


def group_folder(own_group: str) -> Path | None:
    """Where the control group is that ``own_group`` (``/proc/self/cgroup``) names; None if it is
    not of version 2."""
    for line in own_group.splitlines():
        if line.startswith("0::/"):
            return _GROUPS / line.removeprefix("0::/")
    return None


def counted(text: str) -> int | None:
    """The kernel's count in ``text`` (``name number`` a line); None if it has none."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdecimal():
            return int(value)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
