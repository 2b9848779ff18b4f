from __future__ import annotations

import os
import re

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.ids import chunk_id, new_request_id, text_hash

part = st.text(alphabet=st.characters(), max_size=8)


def test_a_chunk_id_never_changes() -> None:
    """Stored ids must be found again by every later version."""
    assert chunk_id("notes", "/a/b.md", 3, "text") == "0f783c35545080091d1e020741fcd85f"
    assert text_hash("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"


@given(st.lists(st.tuples(part, part, st.integers(0, 10**6), part), min_size=2, max_size=2))
def test_different_chunks_have_different_ids(keys: list[tuple[str, str, int, str]]) -> None:
    one, other = keys
    assert (chunk_id(*one) == chunk_id(*other)) == (one == other)
    assert re.fullmatch(r"[0-9a-f]{32}", chunk_id(*one))


@given(part, part)
def test_a_character_that_moves_to_the_next_part_changes_the_id(a: str, b: str) -> None:
    assert chunk_id(a + "x", b, 0, "") != chunk_id(a, "x" + b, 0, "")


def test_request_ids_differ_also_after_a_fork() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", new_request_id())
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, new_request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 64).decode()
    os.close(reading)
    os.close(writing)
    assert len({theirs, *(new_request_id() for _ in range(1000))}) == 1001
