"""A file that is damaged, made to harm, or wrongly made is refused, and nothing of it is stored."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.exports import resealed, rewritten, told
from tests.support.service import RealService
from thoth_core import Thoth
from thoth_core.errors import ExportDamaged


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip(2000), id="one bit"),
        pytest.param(lambda raw: raw[: len(raw) // 2], id="half of it"),
        pytest.param(lambda raw: raw[:-10], id="its end"),
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: b"not a zip\n" * 1000, id="another file"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_stored(
    thoth: Thoth, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    thoth.add([f"text {i}" for i in range(50)], collection="notes")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("notes")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ExportDamaged, match=r"x\.zip"):
        thoth.import_(file)
    assert thoth.collections() == []


def test_a_file_that_its_manifest_does_not_fit_is_refused_with_both_values(
    thoth: Thoth, tmp_path: Path
) -> None:
    thoth.add(["one", "two"], collection="notes")
    good = tmp_path / "good.zip"
    thoth.export(good)
    thoth.delete_collection("notes")
    files = told(good)
    lines = files["000.jsonl"]

    def refused(change: Callable[[dict[str, bytes]], None]) -> ExportDamaged:
        file = rewritten(Path(shutil.copy(good, tmp_path / "bad.zip")), change)
        with pytest.raises(ExportDamaged) as caught:
            thoth.import_(file)
        assert thoth.collections() == []
        return caught.value

    other = refused(lambda f: f.update({"000.jsonl": lines.replace(b"one", b"six")}))
    assert other.details["file"] == "000.jsonl"
    assert other.details["expected"] == hashlib.sha256(lines).hexdigest()
    assert other.details["found"] in other.cause
    longer = refused(lambda f: f.update({"000.jsonl": lines + lines}))
    assert (longer.details["expected"], longer.details["found"]) == (len(lines), 2 * len(lines))
    fewer = refused(lambda f: resealed(f, "000.jsonl", lines.splitlines(True)[0]))
    assert (fewer.details["expected"], fewer.details["found"]) == (2, 1)
    assert refused(lambda f: f.pop("000.documents.jsonl") and None).details["file"] == (
        "000.documents.jsonl"
    )
    assert refused(lambda f: f.pop("manifest.json") and None).details["file"] == "manifest.json"
    # Sealed anew, and still wrong: what had come in by then is taken out again.
    rows = [json.loads(line) for line in lines.splitlines()]
    rows[1]["vector"] = rows[1]["vector"][:-1]
    sealed = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert refused(lambda f: resealed(f, "000.jsonl", sealed)).details["line"] == 2


def test_a_file_made_to_harm_does_none(thoth: Thoth, tmp_path: Path) -> None:
    thoth.add(["one"], collection="notes")
    good = tmp_path / "good.zip"
    thoth.export(good)
    thoth.delete_collection("notes")
    files = told(good)
    below = tmp_path / "in" / "a" / "folder"
    below.mkdir(parents=True)
    hostile = below / "hostile.zip"
    # A path that leads out, beside what the manifest names: it is not even looked at.
    with zipfile.ZipFile(hostile, "w") as file:
        file.writestr("../../outside.txt", "x")
        file.writestr("/tmp/thoth-outside.txt", "x")
        for name, content in files.items():
            file.writestr(name, content)
    thoth.import_(hostile)
    assert not (tmp_path / "in" / "outside.txt").exists()
    assert not Path("/tmp/thoth-outside.txt").exists()
    thoth.delete_collection("notes")
    # 64 MiB of nothing, which the manifest calls small: read no further than it says. The directory
    # of the ZIP is made to lie as well.
    manifest = json.loads(files["manifest.json"])
    said = manifest["collections"][0]["files"]["chunks"]["bytes"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("000.jsonl", "w", force_zip64=True) as bomb:
            for _ in range(64):
                bomb.write(bytes(1024 * 1024))
        for name in ("000.documents.jsonl", "manifest.json"):
            file.writestr(name, files[name])
        file.getinfo("000.jsonl").file_size = said
    assert len(packed.getbuffer()) < 200_000
    hostile.write_bytes(packed.getbuffer())
    with pytest.raises(ExportDamaged, match=r"000\.jsonl"):
        thoth.import_(hostile)
    assert thoth.collections() == []
    assert [each.name for each in below.iterdir()] == ["hostile.zip"]


@pytest.mark.parametrize("apart", [2, 700])
def test_a_row_that_is_there_twice_is_refused_before_anything_is_stored(
    running: RealService, thoth: Thoth, tmp_path: Path, apart: int
) -> None:
    thoth.add([f"text {i}" for i in range(800)], collection="notes")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("notes")
    lines = told(file)["000.jsonl"].splitlines(True)
    lines[apart] = lines[0]
    rewritten(file, lambda files: resealed(files, "000.jsonl", b"".join(lines)))
    done = running.run("thoth", "import", str(file))
    assert done.returncode == 1
    assert f"line {apart + 1} of 000.jsonl has the id" in done.stderr
    assert "as line 1 has" in done.stderr
    assert done.stderr.count("fix: ") == 1
    assert thoth.collections() == []


def test_a_source_that_is_there_twice_is_refused(thoth: Thoth, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"the text {name}")
    thoth.ingest([tmp_path], "notes")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("notes")
    first = told(file)["000.documents.jsonl"].splitlines(True)[0]
    rewritten(file, lambda files: resealed(files, "000.documents.jsonl", first * 2))
    with pytest.raises(ExportDamaged, match=r"line 2 of 000\.documents\.jsonl has the source"):
        thoth.import_(file)
    assert thoth.collections() == []


def test_a_model_of_no_dimension_is_refused(thoth: Thoth, tmp_path: Path) -> None:
    thoth.create_collection("notes")
    file = tmp_path / "x.zip"
    thoth.export(file)
    thoth.delete_collection("notes")

    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        manifest["collections"][0].update(model={"name": "fake/32"}, dimension=None)
        files["manifest.json"] = json.dumps(manifest).encode()

    with pytest.raises(ExportDamaged, match="a model without its dimension"):
        thoth.import_(rewritten(file, change))
    assert thoth.collections() == []
