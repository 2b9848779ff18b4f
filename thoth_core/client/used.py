"""What a call used of a model, known also when it ends by an error."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from thoth_core.client.answers import number
from thoth_core.errors import ThothError
from thoth_core.prices import Cost, cost_of
from thoth_core.wire import Message


class Used:
    """Tokens by request or by part of one, the latest figure of each, and the model's name if an
    answer told it. Noted in the connection's thread, read when the call is over."""

    def __init__(self) -> None:
        self.model = ""
        self._tokens: dict[Hashable, int] = {}

    @property
    def tokens(self) -> int:
        return sum(self._tokens.values())

    def note(self, key: Hashable, tokens: object) -> None:
        """So many tokens went into what is known as ``key``."""
        if isinstance(tokens, int):
            self._tokens[key] = tokens

    def whole(self, answers: Sequence[Message]) -> None:
        """All answers came: theirs are the figures."""
        self._tokens = {i: number(a.body.get("tokens")) for i, a in enumerate(answers)}
        told = (model for a in answers if isinstance(model := a.body.get("model"), str))
        self.model = next(told, self.model)

    def cost(self, model: str, prices: Iterable[str]) -> Cost:
        """``model`` is the one that was asked for, should no answer have told."""
        return cost_of(self.model or model, self.tokens, prices=prices)


def put_cost(problem: BaseException, cost: Cost) -> None:
    """Have the error tell what was used before it: one of ours in ``details["cost"]``, any other
    (Ctrl-C) in a note, if that has a price."""
    if isinstance(problem, ThothError):
        problem.details["cost"] = cost.to_dict()
    elif cost.usd is not None:
        problem.add_note(f"used before that: {cost}")
