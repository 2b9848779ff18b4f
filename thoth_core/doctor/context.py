"""What the checks have to go by, and what one of them leaves for the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thoth_core.settings import Settings


@dataclass(slots=True)
class Context:
    """``environ`` is the caller's. ``status`` is that of the running service, None where none
    answers; ``model_here`` whether the model's files are on this machine, None where that is not
    known; ``scratch`` what was seen of the processes of the scratch service. ``closing`` has what
    must be undone however the checks end. ``note`` tells what takes long."""

    settings: Settings
    environ: Mapping[str, str]
    deep: bool = False
    offline: bool = False
    openai: bool = False
    status: Mapping[str, Any] | None = None
    model_here: bool | None = None
    scratch: list[dict[str, Any]] = field(default_factory=list)
    closing: ExitStack = field(default_factory=ExitStack)
    note: Callable[[str], None] = lambda text: None

    def to_wire(self) -> dict[str, Any]:
        """For a check in a process of its own. There is no key in it."""
        return {
            "settings": self.settings.to_wire(),
            "deep": self.deep,
            "offline": self.offline,
            "status": self.status,
        }

    @classmethod
    def from_wire(cls, data: Mapping[str, Any], environ: Mapping[str, str]) -> Context:
        from thoth_core.settings import Settings

        return cls(
            Settings.from_wire(data["settings"]),
            environ,
            deep=bool(data["deep"]),
            offline=bool(data["offline"]),
            status=data["status"],
        )
