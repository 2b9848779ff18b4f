"""``start --keep-damaged``: a damaged index is there to be looked at afterwards."""

from __future__ import annotations

import numpy as np

from tests.conftest import Make
from tests.support.service import RealService, wait_for


def test_a_damaged_index_is_kept_for_who_asks_for_it_and_nobody_is_warned(
    make_service: Make,
) -> None:
    service = make_service(THOTH_EMBED_WORKERS="1").start()
    vectors = np.random.default_rng(5).normal(size=(50, 32)).astype(np.float32)
    with service.client() as thoth:
        thoth.upsert([f"i{n}" for n in range(50)], vectors, collection="notes")
    healthy(service)
    service.stop()
    database = service.root / "db" / "thoth" / "chroma" / "chroma.sqlite3"
    damaged = database.read_bytes()[:9000]
    database.write_bytes(damaged)

    done = service.run("thoth-supervisor", "start", "--keep-damaged", timeout=90)
    assert done.returncode == 0, done.stderr
    healthy(service)
    [kept] = database.parent.parent.glob("chroma-damaged-*")
    assert (kept / "chroma.sqlite3").read_bytes() == damaged
    done = service.run("thoth", "collections")
    assert (done.stdout.split()[:2], done.stderr) == (["notes", "50"], "")


def healthy(service: RealService) -> None:
    def there() -> bool:
        store = service.status()["store"]
        return store.get("index_state") == "healthy" and not store["index"]["pending"]

    wait_for(there, 60, "the index is healthy")
