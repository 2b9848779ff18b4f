"""What importing costs: the package and ``thoth --help`` load nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import thoth_core

ROOT = Path(__file__).resolve().parents[2]


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``code``."""
    program = f"import sys\n{code}\nprint('LOADED', *sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {"THOTH_RUNTIME_DIR": "/tmp/thoth-nobody", "RAG_VECTOR_DB_PATH": "/nowhere"},
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_the_package_loads_neither_numpy_nor_zeromq() -> None:
    loaded = loaded_after("import thoth_core; thoth_core.InvalidInput; thoth_core.Settings")
    assert not {"numpy", "zmq", "tiktoken", "click"} & loaded


def test_help_loads_no_more_of_the_package_than_its_errors() -> None:
    code = "from cli.main import thoth; from cli.run import run; run(thoth, 'thoth', ['--help'])"
    loaded = loaded_after(code)
    ours = {name for name in loaded if name.startswith("thoth_core.")}
    assert ours == {"thoth_core.errors"}
    assert not {"numpy", "zmq", "json.tool", "logging", "asyncio"} & loaded


def test_a_query_needs_no_numpy_and_nothing_that_reads_files() -> None:
    code = (
        "import cli.query\n"
        "from thoth_core import Thoth\n"
        "thoth = Thoth(autostart=False)\n"
        "try: thoth.query('x')\n"
        "except Exception as problem: assert type(problem).__name__ == 'ServiceUnavailable'\n"
        "else: raise AssertionError"
    )
    unwanted = {"numpy", "tiktoken", "asyncio", "thoth_core.client.ingest", "subprocess"}
    assert not unwanted & loaded_after(code)


def test_a_question_loads_nothing_to_ask_with_before_something_near_was_found() -> None:
    code = (
        "import cli.ask\n"
        "from thoth_core import Thoth\n"
        "thoth = Thoth({'OPENAI_BASE_URL': 'http://127.0.0.1:9/v1'}, autostart=False)\n"
        "try: thoth.ask('x')\n"
        "except Exception as problem: assert type(problem).__name__ == 'ServiceUnavailable'\n"
        "else: raise AssertionError"
    )
    assert not {"openai", "httpx", "numpy", "tiktoken", "asyncio"} & loaded_after(code)


@pytest.mark.parametrize("name", thoth_core.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(thoth_core, name) is not None
    assert name in dir(thoth_core)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        thoth_core.Nonsense  # noqa: B018
