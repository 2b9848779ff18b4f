"""Exports as another program reads them, and as one writes them that means harm or errs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path


def told(path: Path) -> dict[str, bytes]:
    """The files of an export, as another program reads them."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    files = told(path)
    change(files)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def resealed(files: dict[str, bytes], name: str, content: bytes) -> None:
    """Replace a file and have the manifest say so."""
    manifest = json.loads(files["manifest.json"])
    for collection in manifest["collections"]:
        for each in collection["files"].values():
            if each["name"] == name:
                each["bytes"] = len(content)
                each["sha256"] = hashlib.sha256(content).hexdigest()
    files[name] = content
    files["manifest.json"] = json.dumps(manifest).encode()
