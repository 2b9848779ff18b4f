"""The page about the architecture names what a child's environment really has."""

from __future__ import annotations

import re
from pathlib import Path

from thoth_core.supervisor.environment import PASSED, PASSED_PREFIXES, THREAD_NAMES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_the_page_lists_the_environment_of_a_child() -> None:
    section = PAGE.read_text("utf-8").split("## The environment of a child")[1].split("\n## ")[0]
    named = set(re.findall(r"`([A-Z_]+)`", section)) - {"THOTH_ENV_PASS"}
    # The proxies in lower case are named in words.
    expected = {name for name in PASSED if name.isupper()} | set(PASSED_PREFIXES)
    assert named == expected | set(THREAD_NAMES)
    assert {name for name in PASSED if not name.isupper()} == {
        name.lower() for name in PASSED if name.endswith("_PROXY")
    }
