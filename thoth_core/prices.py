"""What models cost: a dated table, prices from ``THOTH_PRICES``, and the price of a use. Pure.

A price that nobody knows is never shown as zero: it is None everywhere here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from thoth_core.provider import OPENAI, is_openai

#: When :data:`TABLE` was written. Providers change their prices; this one may be old.
AS_OF = "2025-01-01"
#: ``prices_of`` where the price is one that ``THOTH_PRICES`` gives.
SETTING = "THOTH_PRICES"

#: What counts the tokens of OpenAI's models that embed.
EMBEDDING_ENCODING = "cl100k_base"

_LEAST_SHOWN = Decimal("0.0001")
_MILLION = Decimal(1_000_000)
_ENTRY = re.compile(
    r"(?P<model>[^\s,=]+)\s*=\s*(?P<given>[^\s,=/]+)(?:\s*/\s*(?P<made>[^\s,=/]+))?"
)


class BadPrice(ValueError):
    """A text that holds no prices. The message is the rule that it breaks."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars a million tokens: for those ``given`` to the model and those ``made`` by it
    (None for a model that makes none, as those that embed). ``of`` is where it is from: the date
    of the table, or "THOTH_PRICES"."""

    given: Decimal
    made: Decimal | None = None
    of: str = AS_OF

    def __str__(self) -> str:
        return "/".join(f"{part:f}" for part in (self.given, self.made) if part is not None)


#: By OpenAI's own names.
TABLE: Mapping[str, Price] = {
    "text-embedding-3-small": Price(Decimal("0.02")),
    "text-embedding-3-large": Price(Decimal("0.13")),
    "text-embedding-ada-002": Price(Decimal("0.10")),
    "gpt-4o-mini": Price(Decimal("0.15"), Decimal("0.60")),
    "gpt-4o": Price(Decimal("2.50"), Decimal("10.00")),
}


def read_prices(text: str) -> dict[str, Price]:
    """The prices in a value of ``THOTH_PRICES``, by model: ``my-model=0.05,gpt-4o=2.50/10.00``.

    Raises :class:`BadPrice`."""
    found: dict[str, Price] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _ENTRY.fullmatch(part)
        if match is None:
            raise BadPrice(
                f"model=price or model=input/output, with commas between; {part[:60]!r} is neither"
            )
        model = _plain(match["model"])
        if model in found:
            raise BadPrice(f"one price a model; {model} has two")
        made = match["made"]
        found[model] = Price(
            _dollars(match["given"], part), None if made is None else _dollars(made, part), SETTING
        )
    return found


def price_of(model: str, prices: Iterable[str] = ()) -> Price | None:
    """The price of ``model`` ("openai/gpt-4o-mini" and "gpt-4o-mini" are the same), None if it is
    not known. ``prices`` are the entries of the setting (``Settings.prices``); they go first."""
    name = _plain(model)
    given = read_prices(",".join(prices))
    if name in given:
        return given[name]
    # The table is OpenAI's: a local model that happens to have such a name costs nothing.
    return TABLE.get(name) if is_openai(model) else None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a use of a model comes to. ``usd`` and ``prices_of`` are None where nobody knows the
    price; ``prices_of`` is the date of the table, or "THOTH_PRICES"."""

    tokens: int
    usd: Decimal | None
    prices_of: str | None

    def to_dict(self) -> dict[str, int | float | str | None]:
        """As in the JSON of commands: ``tokens``, ``usd`` and ``prices_of``."""
        usd = None if self.usd is None else float(self.usd)
        return {"tokens": self.tokens, "usd": usd, "prices_of": self.prices_of}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Cost:
        """What :meth:`to_dict` wrote."""
        usd = told.get("usd")
        return cls(told["tokens"], None if usd is None else Decimal(repr(usd)), told["prices_of"])

    def __str__(self) -> str:
        text = f"{self.tokens:,} token{'' if self.tokens == 1 else 's'}"
        return text if self.usd is None else f"{text}, {self.price}"

    @property
    def price(self) -> str:
        """The price for people, and where it is from; empty if it is not known."""
        if self.usd is None:
            return ""
        old = f"prices of {self.prices_of}, which may be old"
        return f"{dollars(self.usd)} ({SETTING if self.prices_of == SETTING else old})"


#: The cost where nothing was asked of any model.
NOTHING = Cost(0, None, None)


def encoding_of(model: str) -> str | None:
    """The encoding that counts what ``model`` embeds; None for a model whose own is not known."""
    return EMBEDDING_ENCODING if is_openai(model) else None


def cost_of(model: str, given: int, made: int = 0, prices: Iterable[str] = ()) -> Cost:
    """The cost of ``given`` tokens read and ``made`` tokens written by ``model``; ``prices`` as in
    :func:`price_of`."""
    price = price_of(model, prices)
    if price is None or (made and price.made is None):
        return Cost(given + made, None, None)
    usd = (given * price.given + made * (price.made or 0)) / _MILLION
    return Cost(given + made, usd, price.of)


def cost_words(model: str, cost: Cost) -> str:
    """The price for people, or why there is none."""
    if cost.usd is None and not is_openai(model):
        return "nothing to pay: a local model"
    name = _plain(model)
    return cost.price or f"not known for {model}; to have it: {SETTING}={name}=<dollars a million>"


def dollars(usd: Decimal) -> str:
    """An amount for people: to the cent from a dollar on, else two figures that say something."""
    if usd == 0 or usd >= 1:
        return f"${usd:,.2f}"
    if usd < _LEAST_SHOWN:
        return f"under ${_LEAST_SHOWN}"
    places = max(2, 1 - usd.adjusted())
    return f"${usd:.{places}f}"


def _plain(model: str) -> str:
    return model.removeprefix(OPENAI)


def _dollars(text: str, part: str) -> Decimal:
    try:
        value = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= _MILLION):
        raise BadPrice(f"US dollars a million tokens, as 0.02; {part[:60]!r} has {text[:30]!r}")
    return value
