"""What a run used of a model, said at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import Output

if TYPE_CHECKING:
    from thoth_core.prices import Cost


def say_cost(output: Output, cost: Cost) -> None:
    """A line on standard error, if the model has a price."""
    if cost.usd is not None:
        output.note(f"used: {cost}")
