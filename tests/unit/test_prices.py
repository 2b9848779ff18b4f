from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.prices import (
    AS_OF,
    SETTING,
    TABLE,
    BadPrice,
    cost_of,
    dollars,
    price_of,
    read_prices,
)


@pytest.mark.parametrize(
    ("model", "given", "made"),
    [
        ("openai/text-embedding-3-small", "0.02", None),
        ("openai/text-embedding-3-large", "0.13", None),
        ("openai/text-embedding-ada-002", "0.10", None),
        ("openai/gpt-4o-mini", "0.15", "0.60"),
        ("openai/gpt-4o", "2.50", "10.00"),
    ],
)
def test_the_table(model: str, given: str, made: str | None) -> None:
    price = price_of(model)
    assert price is not None
    assert (price.given, price.made) == (Decimal(given), made and Decimal(made))
    assert price.of == AS_OF


def test_a_million_tokens_of_each_kind_cost_their_price() -> None:
    assert cost_of("openai/text-embedding-3-small", 1_000_000).usd == Decimal("0.02")
    cost = cost_of("openai/gpt-4o-mini", 1_000_000, 2_000_000)
    assert cost.usd == Decimal("1.35")
    assert cost.to_dict() == {"tokens": 3_000_000, "usd": 1.35, "prices_of": AS_OF}


@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "openai/gpt-9", "gpt-4o", "fake/8"])
def test_a_model_that_nobody_knows_the_price_of_has_none_and_never_costs_zero(model: str) -> None:
    assert price_of(model) is None
    cost = cost_of(model, 1234)
    assert cost.to_dict() == {"tokens": 1234, "usd": None, "prices_of": None}
    assert str(cost) == "1,234 tokens"


def test_a_price_for_tokens_read_alone_is_none_for_tokens_written() -> None:
    assert cost_of("my-model", 10, 10, ["my-model=1"]).usd is None
    assert cost_of("my-model", 10, 0, ["my-model=1"]).usd == Decimal("0.00001")


def test_the_setting_goes_before_the_table_and_adds_to_it() -> None:
    prices = ["text-embedding-3-small=0.01", "my-model=0.05", "gpt-4o-mini=1/2"]
    cost = cost_of("openai/text-embedding-3-small", 2_000_000, prices=prices)
    assert cost.to_dict() == {"tokens": 2_000_000, "usd": 0.02, "prices_of": SETTING}
    assert str(cost) == "2,000,000 tokens, $0.020 (THOTH_PRICES)"
    assert cost_of("my-model", 1_000_000, prices=prices).usd == Decimal("0.05")
    assert cost_of("openai/gpt-4o-mini", 10**6, 10**6, prices).usd == Decimal(3)
    assert cost_of("openai/gpt-4o", 10**6, prices=prices).prices_of == AS_OF


def test_who_writes_the_provider_before_a_name_means_the_same_model() -> None:
    assert price_of("openai/gpt-4o", ["openai/gpt-4o=7/8"]) == price_of("gpt-4o", ["gpt-4o=7/8"])
    price = price_of("fake/8", ["fake/8=0.5"])
    assert price is not None and price.given == Decimal("0.5")


def test_what_is_read() -> None:
    found = read_prices(" text-embedding-3-small=0.02 , my-model = $0.05,gpt-4o-mini=0.15 / 0.60,")
    assert {model: str(price) for model, price in found.items()} == {
        "text-embedding-3-small": "0.02",
        "my-model": "0.05",
        "gpt-4o-mini": "0.15/0.60",
    }
    assert read_prices("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.02", "neither"),
        ("a=", "neither"),
        ("a=1/2/3", "neither"),
        ("a=1 b=2", "neither"),
        ("a=cheap", "'cheap'"),
        ("a=-1", "'-1'"),
        ("a=nan", "'nan'"),
        ("a=1/inf", "'inf'"),
        ("a=1,b=2,a=3", "a has two"),
        ("openai/a=1,a=3", "a has two"),
    ],
)
def test_what_is_no_price_is_named(text: str, said: str) -> None:
    with pytest.raises(BadPrice) as caught:
        read_prices(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        ("0", "$0.00"),
        ("1234.567", "$1,234.57"),
        ("0.5", "$0.50"),
        ("0.0049", "$0.0049"),
        ("0.00031", "$0.00031"),
        ("0.00000321", "under $0.0001"),
    ],
)
def test_a_small_amount_is_not_rounded_to_nothing(usd: str, shown: str) -> None:
    assert dollars(Decimal(usd)) == shown


_PRICES = st.decimals(0, 1000, places=4)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True),
        st.tuples(_PRICES, st.none() | _PRICES),
        max_size=4,
    )
)
def test_what_a_price_is_written_as_reads_back_as_it(
    given: dict[str, tuple[Decimal, Decimal | None]],
) -> None:
    entries = [
        f"{model}={read}" if made is None else f"{model}={read}/{made}"
        for model, (read, made) in given.items()
    ]
    found = read_prices(",".join(entries))
    again = read_prices(",".join(f"{model}={price}" for model, price in found.items()))
    assert again == found
    assert {m: (p.given, p.made) for m, p in found.items()} == given


def test_the_date_of_the_table_is_a_date() -> None:
    import datetime

    assert datetime.date.fromisoformat(AS_OF) and TABLE
