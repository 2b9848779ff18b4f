"""The walls hold in memory too: what each process really has loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.service import RealService, wait_for

HEAVY = ("torch", "openvino", "chromadb")


def mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys, thoth_core; thoth_core.Thoth\n"
        "heavy = [m for m in ('torch', 'openvino', 'chromadb', 'sentence_transformers',"
        " 'transformers', 'onnxruntime') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
        "assert 'torch' not in open('/proc/self/maps').read()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_each_process_has_only_its_own_libraries(service: RealService) -> None:
    with service.client() as thoth:
        thoth.add(["one", "two"], ids=["1", "2"])
        assert thoth.query("one", k=1)[0].id == "1"
    wait_for(lambda: service.status()["store"]["index_state"] == "healthy", 30, "the index")
    status = service.status()
    supervisor = mapped(status["pid"])
    for name in (*HEAVY, "numpy", "tiktoken", "onnxruntime"):
        assert f"/{name}/" not in supervisor, f"the supervisor has loaded {name}"
    for worker in status["workers"]:
        maps = mapped(worker["pid"])
        if worker["role"] == "embed":
            assert "/chromadb" not in maps
        else:
            for name in HEAVY:
                assert f"/{name}/" not in maps
            assert "/chromadb" not in maps
    index = mapped(status["store"]["index"]["pid"])
    assert "/chromadb_rust_bindings/" in index
    for name in ("torch", "openvino", "sentence_transformers"):
        assert f"/{name}/" not in index
