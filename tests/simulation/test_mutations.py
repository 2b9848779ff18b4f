"""The checks of the simulation see what they are for: each planted bug is found."""

from __future__ import annotations

import pytest

from tests.simulation.history import History
from tests.simulation.mutations import MUTATIONS, Mutation

#: Seeds around the recorded one, in case the code moved a little.
AROUND = 3


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name.replace(" ", "-"))
def test_each_planted_bug_is_found(mutation: Mutation) -> None:
    with mutation.planted():
        for seed in range(mutation.seed, mutation.seed + AROUND):
            try:
                History(seed).tell()
            except Exception:
                return
    pytest.fail(
        f"not found in seeds {mutation.seed} to {mutation.seed + AROUND - 1}: "
        f"python -m tests.simulation.mutants --only '{mutation.name}' says which find it"
    )


def test_a_planted_bug_is_gone_afterwards() -> None:
    with MUTATIONS[0].planted():
        pass
    History(MUTATIONS[0].seed).tell()
