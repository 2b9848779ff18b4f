"""How many GPUs there are for the workers, and which of them each is on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thoth_core.devices import cuda_devices, devices_for, place, threads
from thoth_core.settings import Settings
from thoth_core.supervisor import crew as crew_module
from thoth_core.supervisor.crew import Crew

MODEL = "all-MiniLM-L6-v2"
WITH_CUDA = (
    "__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
)
WITHOUT = "__version__ = '2.13.0'\ncuda: Optional[str] = None\n"


def machine(root: Path, *nodes: str, torch: str = WITH_CUDA) -> dict[str, Path]:
    """A folder of devices, and one of an installed torch."""
    for folder in ("dev", "torch"):
        (root / folder).mkdir()
    for node in ("null", "nvidiactl", "nvidia-uvm", "nvidia-caps", "nvidia-modeset", *nodes):
        (root / "dev" / node).touch()
    (root / "torch" / "version.py").write_text(torch)
    return {"dev": root / "dev", "torch": root / "torch"}


def test_each_node_is_a_device(tmp_path: Path) -> None:
    dev = machine(tmp_path, "nvidia0", "nvidia1", "nvidia12")["dev"]
    assert cuda_devices({}, dev) == 3
    assert cuda_devices({}, tmp_path / "nowhere") == 0


def test_without_a_node_there_is_none_also_where_the_driver_is(tmp_path: Path) -> None:
    assert cuda_devices({}, machine(tmp_path)["dev"]) == 0


def test_a_node_that_may_not_be_opened_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = machine(tmp_path, "nvidia0", "nvidia1")["dev"]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "nvidia1")
    assert cuda_devices({}, dev) == 1


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("0", 1),
        ("2,0", 2),
        (" 1 , 3 ", 2),
        ("0,1,2,3", 4),
        # CUDA stops at the first word that names no device.
        ("0,9,1", 1),
        ("0,-1,1", 1),
        ("x,0", 0),
        # One that is named twice is an error of its, and nothing is shown.
        ("0,1,1", 0),
        ("GPU-8932f937-d72c,GPU-41c2", 2),
        ("MIG-GPU-1/0/0,MIG-GPU-1/1/0", 1),
        ("²", 0),
    ],
)
def test_only_what_is_visible_counts(tmp_path: Path, visible: str, count: int) -> None:
    dev = machine(tmp_path, *(f"nvidia{n}" for n in range(4)))["dev"]
    assert cuda_devices({"CUDA_VISIBLE_DEVICES": visible}, dev) == count


def test_auto_takes_the_gpus_that_are_there(tmp_path: Path) -> None:
    there = machine(tmp_path, "nvidia0", "nvidia1")
    assert devices_for(MODEL, "auto", "auto", {}, **there) == ("cuda:0", "cuda:1")
    assert devices_for(MODEL, "sentence_transformers", "auto", {}, **there) == ("cuda:0", "cuda:1")
    assert devices_for(MODEL, "auto", "auto", {"CUDA_VISIBLE_DEVICES": ""}, **there) == ()


def test_auto_takes_none_where_nothing_could_compute_on_it(tmp_path: Path) -> None:
    there = machine(tmp_path, "nvidia0", torch=WITHOUT)
    assert devices_for(MODEL, "auto", "auto", {}, **there) == ()
    assert devices_for(MODEL, "auto", "auto", {}, dev=there["dev"], torch=tmp_path / "no") == ()


def test_what_computes_on_the_cpu_has_no_device(tmp_path: Path) -> None:
    there = machine(tmp_path, "nvidia0")
    assert devices_for(MODEL, "auto", "cpu", {}, **there) == ()
    assert devices_for(MODEL, "openvino", "auto", {}, **there) == ()
    assert devices_for("fake/8", "auto", "cuda", {}, **there) == ()
    assert devices_for("openai/text-embedding-3-small", "auto", "auto", {}, **there) == ()
    # A folder may be called so.
    assert devices_for("/models/fake/8", "auto", "auto", {}, **there) == ("cuda:0",)


def test_who_asks_for_cuda_is_believed(tmp_path: Path) -> None:
    none = machine(tmp_path, torch=WITHOUT)
    assert devices_for(MODEL, "auto", "cuda", {}, **none) == ("cuda:0",)
    assert devices_for(MODEL, "auto", "cuda:3", {}, **none) == ("cuda:3",)
    (none["dev"] / "nvidia0").touch()
    (none["dev"] / "nvidia1").touch()
    assert devices_for(MODEL, "auto", "cuda", {}, **none) == ("cuda:0", "cuda:1")
    assert devices_for(MODEL, "auto", "cuda:1", {}, **none) == ("cuda:1",)


def test_bulk_workers_take_the_devices_in_turn_and_queries_the_first() -> None:
    two = ("cuda:0", "cuda:1")
    slots = [f"embed-bulk-{n}" for n in (1, 2, 3, 12)]
    assert [place(two, "bulk", slot) for slot in slots] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert place(two, "interactive", "embed-interactive") == "cuda:0"
    assert place(two, "interactive", "embed-2-interactive-1") == "cuda:0"
    assert place(two, "bulk", "embed-2-bulk-2") == "cuda:1"
    assert place((), "bulk", "embed-bulk-1") == "cpu"


def test_beside_a_gpu_a_worker_has_its_share_of_the_cores() -> None:
    assert threads(("cuda:0", "cuda:1"), 2, cores=16) == 8
    assert threads(("cuda:0",), 32, cores=16) == 1
    assert threads((), 4, cores=16) == 1


def test_settings_have_a_worker_a_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = ("cuda:0", "cuda:1", "cuda:2")
    monkeypatch.setattr("thoth_core.settings.devices_for", lambda *about: found)
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "WORKSPACE_DIR": str(tmp_path)}
    settings = Settings.load(cwd=tmp_path, environ=environ)
    assert (settings.embed_workers, settings.embedding_batch_size) == (3, 2048)
    mine = environ | {"THOTH_EMBED_WORKERS": "1", "RAG_EMBEDDING_BATCH_SIZE": "100"}
    settings = Settings.load(cwd=tmp_path, environ=mine)
    assert (settings.embed_workers, settings.embedding_batch_size) == (1, 100)
    found = ()
    monkeypatch.setattr("thoth_core.settings.available_cores", lambda: 7)
    settings = Settings.load(cwd=tmp_path, environ=environ)
    assert (settings.embed_workers, settings.embedding_batch_size) == (7, 100)


def test_a_slot_is_told_its_device_and_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def found(model: str, engine: str, device: str) -> tuple[str, ...]:
        asked.append((model, engine, device))
        return ("cuda:0", "cuda:1")

    monkeypatch.setattr(crew_module, "devices_for", found)
    monkeypatch.setattr("thoth_core.devices.available_cores", lambda: 12)
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "WORKSPACE_DIR": str(tmp_path)}
    settings = Settings.load(
        {"THOTH_EMBED_WORKERS": "3", "THOTH_DEVICE": "cuda"}, cwd=tmp_path, environ=environ
    )
    crew = Crew(settings, "s", tmp_path / "back", tell=_no, watch=_no, unwatch=_no)
    told = {slot.name: crew.config_for(slot).body for slot in crew.embed_slots()}
    assert {name: (body["device"], body["threads"]) for name, body in told.items()} == {
        "embed-interactive": ("cuda:0", 4),
        "embed-bulk-1": ("cuda:0", 4),
        "embed-bulk-2": ("cuda:1", 4),
        "embed-bulk-3": ("cuda:0", 4),
    }
    assert set(asked) == {(MODEL, "auto", "cuda")}


def test_nothing_heavy_is_loaded_to_find_out(tmp_path: Path) -> None:
    machine(tmp_path, "nvidia0")
    code = (
        "import sys; from pathlib import Path; from thoth_core.devices import devices_for\n"
        f"devices_for({MODEL!r}, 'auto', 'auto', {{}}, dev=Path({str(tmp_path / 'dev')!r}))\n"
        "print([n for n in ('torch', 'numpy') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr


def _no(*about: object) -> None:
    """Nothing is told or watched."""
