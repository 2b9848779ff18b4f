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
    # Chroma's traces go over gRPC; an index process sends none (store_worker/chroma_import.py).
    for name in ("torch", "openvino", "sentence_transformers", "grpc"):
        assert f"/{name}/" not in index


def test_chroma_is_imported_without_what_it_does_not_need_and_nothing_else_is_changed() -> None:
    code = (
        "import gc, sys\n"
        "from store_worker.chroma_import import import_chromadb\n"
        "chromadb = import_chromadb()\n"
        "assert chromadb is sys.modules['chromadb'] is import_chromadb()\n"
        "print([n for n in ('grpc', 'rich', 'overrides', 'httpx._main') if n in sys.modules])\n"
        "assert gc.isenabled()\n"
        "import overrides, httpx._main\n"
        "from opentelemetry.exporter.otlp.proto.grpc import trace_exporter\n"
        "assert all(m.__file__ for m in (overrides, httpx._main, trace_exporter))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[]\n", done.stderr
    assert done.returncode == 0, done.stderr
