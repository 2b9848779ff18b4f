from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoth_core.encoding import load_encoding
from thoth_core.errors import SettingsError
from thoth_core.setting_specs import BY_NAME, ENCODINGS, SPECS, is_placeholder, mask
from thoth_core.settings import Settings, unknown_names

KEY = "sk-proj-abcdefghijklmnop1234"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose user folders are empty ones below ``tmp_path``."""
    return {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }


def folder(path: Path, *, env: str = "", toml: str = "") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if env:
        (path / ".env").write_text(env)
    if toml:
        (path / "thoth.toml").write_text(toml)
    return path


def test_defaults(tmp_path: Path, home: dict[str, str]) -> None:
    found = Settings.load(cwd=tmp_path, environ=home)
    assert found.embedding_model == "all-MiniLM-L6-v2"
    assert (found.chunk_size, found.chunk_overlap, found.retrieval_k) == (500, 50, 4)
    assert found.vector_db_path == tmp_path / "data" / "thoth" / "vector_db"
    assert found.data_dir == found.vector_db_path / "thoth"
    assert found.workspace_dir is None and found.openai_key == ""
    assert found.embed_workers >= 1
    assert {found.origin(spec.field) for spec in SPECS} == {"default"}
    with pytest.raises(FrozenInstanceError):
        found.chunk_size = 1  # type: ignore[misc]


def test_each_source_goes_before_the_one_below_it(tmp_path: Path, home: dict[str, str]) -> None:
    layers: list[tuple[str, int]] = []
    cwd = folder(tmp_path / "w", toml="RAG_CHUNK_SIZE = 101\n")
    layers.append((f"{cwd}/thoth.toml:1", 101))
    found = Settings.load(cwd=cwd, environ=home)
    assert (found.origin("chunk_size"), found.chunk_size) == layers[-1]

    folder(cwd, env="# a comment\n\nexport RAG_CHUNK_SIZE=102\n")
    found = Settings.load(cwd=cwd, environ=home)
    assert (found.origin("chunk_size"), found.chunk_size) == (f"{cwd}/.env:3", 102)

    environ = {**home, "RAG_CHUNK_SIZE": "103"}
    found = Settings.load(cwd=cwd, environ=environ)
    assert (found.origin("chunk_size"), found.chunk_size) == ("environment", 103)

    found = Settings.load({"RAG_CHUNK_SIZE": "104"}, cwd, environ)
    assert (found.origin("chunk_size"), found.chunk_size) == ("command line", 104)
    assert Settings.load({"chunk_size": "105"}, cwd, environ).chunk_size == 105


def test_an_empty_value_is_not_set(tmp_path: Path, home: dict[str, str]) -> None:
    cwd = folder(tmp_path / "w", env="RAG_CHUNK_SIZE=102\n")
    environ = {**home, "RAG_CHUNK_SIZE": " "}
    assert Settings.load({"chunk_size": ""}, cwd, environ).chunk_size == 102


def test_files_are_looked_for_here_then_in_the_workspace_then_in_the_users_folder(
    tmp_path: Path, home: dict[str, str]
) -> None:
    here, workspace = folder(tmp_path / "here"), folder(tmp_path / "ws")
    environ = {**home, "WORKSPACE_DIR": str(workspace)}
    folder(tmp_path / "config" / "thoth", env="RAG_CHUNK_SIZE=30\nRAG_RETRIEVAL_K=30\n")
    assert Settings.load(cwd=here, environ=environ).chunk_size == 30
    folder(workspace, env="RAG_CHUNK_SIZE=60\n")
    found = Settings.load(cwd=here, environ=environ)
    assert (found.chunk_size, found.retrieval_k) == (60, 4)  # the first file is the only one
    folder(here, env="RAG_CHUNK_SIZE=70\n")
    assert Settings.load(cwd=here, environ=environ).chunk_size == 70


def test_the_workspace_may_be_named_in_the_dotenv_itself(
    tmp_path: Path, home: dict[str, str]
) -> None:
    here = folder(
        tmp_path / "here",
        env='WORKSPACE_DIR=../ws\nRAG_VECTOR_DB_PATH="${WORKSPACE_DIR}/knowledge/vector_db"\n',
    )
    folder(tmp_path / "ws", toml="[thoth]\nchunk_size = 77\n")
    found = Settings.load(cwd=here, environ=home)
    assert found.workspace_dir == tmp_path / "ws"
    assert found.vector_db_path == tmp_path / "ws" / "knowledge" / "vector_db"
    assert found.chunk_size == 77
    # The environment goes before the file, in what is filled in too.
    found = Settings.load(cwd=here, environ={**home, "WORKSPACE_DIR": "/other"})
    assert found.vector_db_path == Path("/other/knowledge/vector_db")


def test_the_default_store_is_in_the_workspace(tmp_path: Path, home: dict[str, str]) -> None:
    found = Settings.load(cwd=tmp_path, environ={**home, "WORKSPACE_DIR": "ws"})
    assert found.vector_db_path == tmp_path / "ws" / "knowledge" / "vector_db"
    assert found.origin("vector_db_path") == "default"


def test_a_variable_that_is_not_set_is_an_error_and_never_an_empty_text(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(tmp_path / "w", env='RAG_VECTOR_DB_PATH="${WORKPLACE}/knowledge"\n')
    with pytest.raises(SettingsError) as caught:
        Settings.load(cwd=cwd, environ=home)
    assert "RAG_VECTOR_DB_PATH" in caught.value.message and ".env:1" in caught.value.message
    assert "WORKPLACE is not set" in caught.value.cause


def test_a_workspace_that_is_set_nowhere_is_the_folder_of_the_file_that_names_it(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(tmp_path / "w", env='RAG_VECTOR_DB_PATH="${WORKSPACE_DIR}/knowledge"\n')
    found = Settings.load(cwd=cwd, environ=home)
    assert found.vector_db_path == cwd / "knowledge"
    assert found.workspace_dir is None
    named = {**home, "RAG_VECTOR_DB_PATH": "${WORKSPACE_DIR}/knowledge"}
    with pytest.raises(SettingsError, match="environment"):
        Settings.load(cwd=cwd, environ=named)


def test_variables_may_have_defaults_and_refer_to_each_other_but_not_in_a_circle(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(
        tmp_path / "w", env="BASE=/b\nRAG_VECTOR_DB_PATH=${BASE}/${SUB:-s}\nA=${B}\nB=${A}\n"
    )
    assert Settings.load(cwd=cwd, environ=home).vector_db_path == Path("/b/s")
    folder(cwd, env="RAG_EMBEDDING_MODEL=${A}\nA=${B}\nB=${A}\n")
    with pytest.raises(SettingsError, match="is not set"):
        Settings.load(cwd=cwd, environ=home)


def test_relative_paths_start_where_they_are_written(tmp_path: Path, home: dict[str, str]) -> None:
    folder(tmp_path / "config" / "thoth", env="RAG_VECTOR_DB_PATH=store\n")
    here = folder(tmp_path / "here")
    found = Settings.load(cwd=here, environ=home)
    assert found.vector_db_path == tmp_path / "config" / "thoth" / "store"
    found = Settings.load(cwd=here, environ={**home, "RAG_VECTOR_DB_PATH": "../x"})
    assert found.vector_db_path == tmp_path / "x"
    found = Settings.load({"RAG_VECTOR_DB_PATH": "~/x"}, here, home)
    assert found.vector_db_path == Path.home() / "x"


def test_small_chunks_have_a_small_overlap_unless_one_was_asked_for(
    tmp_path: Path, home: dict[str, str]
) -> None:
    small = {**home, "RAG_CHUNK_SIZE": "40"}
    assert Settings.load(cwd=tmp_path, environ=small).chunk_overlap == 4
    with pytest.raises(SettingsError, match="RAG_CHUNK_OVERLAP is 50"):
        Settings.load({"RAG_CHUNK_OVERLAP": "50"}, tmp_path, small)


def test_toml_takes_names_in_either_case_and_real_types(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(
        tmp_path / "w",
        toml="rag_chunk_size = 90\nTHOTH_FAULTS = true\nqa_temperature = 1.5\n[thoth]\n"
        'THOTH_ENV_PASS = ["ONE", "TWO"]\n',
    )
    found = Settings.load(cwd=cwd, environ=home)
    assert (found.chunk_size, found.faults, found.qa_temperature) == (90, True, 1.5)
    assert found.env_pass == ("ONE", "TWO")
    assert found.origin("env_pass") == f"{cwd}/thoth.toml:5"


def test_a_setting_twice_in_one_toml_is_an_error(tmp_path: Path, home: dict[str, str]) -> None:
    cwd = folder(tmp_path / "w", toml="rag_chunk_size = 90\n[thoth]\nRAG_CHUNK_SIZE = 91\n")
    with pytest.raises(SettingsError, match="twice"):
        Settings.load(cwd=cwd, environ=home)


def test_names_in_files_that_nothing_reads_are_reported(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(tmp_path / "w", env="RAG_CHUNK_SIZ=90\nDATABASE_URL=x\n", toml="chunk_sise = 90\n")
    found = Settings.load(cwd=cwd, environ=home)
    assert found.chunk_size == 500
    assert [name for name, _ in found.unread] == ["RAG_CHUNK_SIZ", "chunk_sise"]
    assert "RAG_CHUNK_SIZE" in found.unread[0][1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_CHUNK_SIZE", "many"),
        ("RAG_CHUNK_SIZE", "7"),
        ("RAG_CHUNK_OVERLAP", "500"),
        ("RAG_EMBEDDING_BATCH_SIZE", "0"),
        ("RAG_EMBEDDING_BATCH_SIZE", "2049"),
        ("RAG_QA_TEMPERATURE", "nan"),
        ("RAG_QA_TEMPERATURE", "2.1"),
        ("RAG_COLLECTION_NAME", "a b"),
        ("RAG_CHUNK_ENCODING", "utf-8"),
        ("THOTH_LONG_TEXT", "cut"),
        ("THOTH_DEVICE", "tpu"),
        ("THOTH_PRECISION", "int8"),
        ("THOTH_FAULTS", "maybe"),
        ("THOTH_UNIT_TIMEOUT", "0"),
        ("THOTH_UNIT_TIMEOUT", "inf"),
        ("THOTH_IDLE_EXIT", "-1"),
        ("THOTH_READ_TIMEOUT", "0"),
        ("THOTH_READ_MEMORY_MB", "100"),
        ("THOTH_ENV_PASS", "A,B=C"),
        ("THOTH_EMBED_WORKERS", "0"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("OPENAI_BASE_URL", "https://someone:secret@example.org/v1"),
        ("THOTH_OPENAI_DIMENSIONS", "0"),
        ("THOTH_OPENAI_DIMENSIONS", "4097"),
        ("THOTH_PRICES", "my-model=cheap"),
        ("THOTH_PRICES", "0.02"),
        ("RAG_EMBEDDING_MODEL", "a\nb"),
        ("THOTH_RUNTIME_DIR", "/tmp/" + "x" * 70),
    ],
)
def test_a_bad_value_names_setting_value_origin_and_fix(
    tmp_path: Path, home: dict[str, str], name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(cwd=tmp_path, environ={**home, name: value})
    error = caught.value
    assert name in error.message and "environment" in error.message
    assert value in error.message or repr(value) in error.message
    assert error.cause and error.fix


def test_a_bad_value_in_a_file_names_its_line(tmp_path: Path, home: dict[str, str]) -> None:
    cwd = folder(tmp_path / "w", env="\nRAG_RETRIEVAL_K=none\n")
    with pytest.raises(SettingsError, match=r"RAG_RETRIEVAL_K is 'none' \(from .*/w/\.env:2\)"):
        Settings.load(cwd=cwd, environ=home)


def test_a_broken_line_is_an_error_only_if_it_is_ours(tmp_path: Path, home: dict[str, str]) -> None:
    cwd = folder(tmp_path / "w", env='some words\nRAG_CHUNK_SIZE=90\nOTHER="open\n')
    assert Settings.load(cwd=cwd, environ=home).chunk_size == 90
    folder(cwd, env='RAG_EMBEDDING_MODEL="open\n')
    with pytest.raises(SettingsError, match=r"\.env:1 is no assignment"):
        Settings.load(cwd=cwd, environ=home)


@pytest.mark.parametrize("name", [".env", "thoth.toml"])
def test_a_file_that_is_no_text_is_an_error_that_names_it(
    tmp_path: Path, home: dict[str, str], name: str
) -> None:
    (tmp_path / name).write_bytes(b"RAG_CHUNK_SIZE=\xff\xfe")
    with pytest.raises(SettingsError, match=f"{name} is no UTF-8"):
        Settings.load(cwd=tmp_path, environ=home)


def test_broken_toml_names_the_line(tmp_path: Path, home: dict[str, str]) -> None:
    folder(tmp_path, toml="a = 1\nb = \n")
    with pytest.raises(SettingsError) as caught:
        Settings.load(cwd=tmp_path, environ=home)
    assert "thoth.toml is no TOML" in caught.value.message and "line 2" in caught.value.cause


def test_an_unknown_name_on_the_command_line_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"RAG_CHUNK_SIZ": "1"}, tmp_path, {})
    assert "did you mean RAG_CHUNK_SIZE?" in caught.value.cause


def test_the_key_has_two_names_and_the_one_that_won_is_shown(
    tmp_path: Path, home: dict[str, str]
) -> None:
    both = {**home, "API_OPENAI_KEY": KEY, "OPENAI_API_KEY": "sk-other-0123456789"}
    found = Settings.load(cwd=tmp_path, environ=both)
    assert (found.openai_key, found.origin("openai_key")) == (KEY, "environment")
    only = {**home, "OPENAI_API_KEY": KEY}
    found = Settings.load(cwd=tmp_path, environ=only)
    assert found.openai_key == KEY
    assert found.origin("openai_key") == "environment, as OPENAI_API_KEY"
    # The higher source wins, whatever the name.
    folder(tmp_path, env="API_OPENAI_KEY=sk-from-a-file-0123456789\n")
    assert Settings.load(cwd=tmp_path, environ=only).openai_key == KEY


@pytest.mark.parametrize(
    "key", ["your_openai_api_key_here", "YOUR-KEY-HERE", "<key>", "sk-...", "changeme", "xxx"]
)
def test_a_placeholder_is_no_key(tmp_path: Path, home: dict[str, str], key: str) -> None:
    environ = {**home, "API_OPENAI_KEY": key, "OPENAI_API_KEY": KEY}
    assert Settings.load(cwd=tmp_path, environ=environ).openai_key == KEY
    del environ["OPENAI_API_KEY"]
    assert Settings.load(cwd=tmp_path, environ=environ).openai_key == ""


#: As users of the older Thoth have it.
OLDER_DOTENV = """\
API_OPENAI_KEY=your_openai_api_key_here
RAG_EMBEDDING_MODEL=openai/text-embedding-3-small
RAG_EMBEDDING_BATCH_SIZE=100
RAG_VECTOR_DB_PATH=${WORKSPACE_DIR}/knowledge/vector_db
RAG_COLLECTION_NAME=thoth_knowledge
RAG_CHUNK_SIZE=500
RAG_CHUNK_OVERLAP=50
RAG_CHUNK_ENCODING=cl100k_base
RAG_QA_MODEL=openai/gpt-4o-mini
RAG_QA_TEMPERATURE=0.2
RAG_QA_MAX_TOKENS=2000
RAG_RETRIEVAL_K=4
"""


def test_the_dotenv_of_the_older_thoth_is_read_as_it_stands(
    tmp_path: Path, home: dict[str, str]
) -> None:
    cwd = folder(tmp_path / "w", env=OLDER_DOTENV)
    found = Settings.load(cwd=cwd, environ={**home, "WORKSPACE_DIR": str(tmp_path / "ws")})
    assert found.openai_key == "" and found.origin("openai_key") == "default"
    assert found.vector_db_path == tmp_path / "ws" / "knowledge" / "vector_db"
    why = f"it holds a placeholder, which counts as not set ({cwd}/.env:1)"
    assert found.unread == (("API_OPENAI_KEY", why),)
    lines = OLDER_DOTENV.splitlines()
    for number, line in enumerate(lines[1:], 2):
        spec = BY_NAME[line.split("=")[0]]
        assert found.origin(spec.field) == f"{cwd}/.env:{number}", line
    assert found.embedding_model == "openai/text-embedding-3-small"
    assert found.qa_model == "openai/gpt-4o-mini"
    # Others than the defaults, so that one that is not read is seen.
    other = OLDER_DOTENV.replace("500", "501").replace("=50\n", "=51\n").replace("100\n", "99\n")
    other = other.replace("0.2\n", "0.3\n").replace("2000", "2001").replace("=4\n", "=5\n")
    folder(cwd, env=other.replace("thoth_knowledge", "mine").replace("cl100k", "r50k"))
    found = Settings.load(cwd=cwd, environ={**home, "WORKSPACE_DIR": str(tmp_path / "ws")})
    assert (found.chunk_size, found.chunk_overlap, found.embedding_batch_size) == (501, 51, 99)
    assert (found.qa_temperature, found.qa_max_tokens, found.retrieval_k) == (0.3, 2001, 5)
    assert (found.collection_name, found.chunk_encoding) == ("mine", "r50k_base")


@pytest.mark.parametrize(
    "written",
    ["text-embedding-3-small", "openai:text-embedding-3-small", "OpenAI/Text-Embedding-3-Small"],
)
def test_a_name_of_openais_alone_is_told_what_it_is_here(
    tmp_path: Path, home: dict[str, str], written: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(cwd=tmp_path, environ={**home, "RAG_EMBEDDING_MODEL": written})
    assert "must be openai/text-embedding-3-small" in caught.value.cause
    assert caught.value.fix == "set RAG_EMBEDDING_MODEL=openai/text-embedding-3-small"


def test_dimensions_and_prices(tmp_path: Path, home: dict[str, str]) -> None:
    found = Settings.load(cwd=tmp_path, environ=home)
    assert (found.openai_dimensions, found.prices) == (None, ())
    given = {"THOTH_OPENAI_DIMENSIONS": "256", "THOTH_PRICES": "my-model=$0.05, gpt-4o = 1 / 2.5"}
    found = Settings.load(cwd=tmp_path, environ={**home, **given})
    assert (found.openai_dimensions, found.prices) == (256, ("my-model=0.05", "gpt-4o=1/2.5"))
    back = Settings.from_wire(json.loads(json.dumps(found.to_wire())))
    assert (back.openai_dimensions, back.prices) == (256, found.prices)


def test_a_real_key_is_no_placeholder() -> None:
    assert not is_placeholder(KEY)
    assert not is_placeholder("sk-svcacct-yourname0123456789")


def test_the_key_is_shown_nowhere(tmp_path: Path, home: dict[str, str]) -> None:
    found = Settings.load(cwd=tmp_path, environ={**home, "API_OPENAI_KEY": KEY})
    assert KEY not in repr(found)
    assert KEY not in json.dumps(found.to_wire())
    assert KEY not in json.dumps(found.describe())
    (row,) = [row for row in found.describe() if row["masked"]]
    assert row["value"] == "sk-…1234"
    assert mask("short") == "…"


def test_describe_has_every_setting_in_plain_values(tmp_path: Path, home: dict[str, str]) -> None:
    found = Settings.load({"THOTH_FAULTS": "1"}, tmp_path, home)
    rows = {row["name"]: row for row in found.describe()}
    assert set(rows) == {spec.name for spec in SPECS}
    assert rows["THOTH_FAULTS"] == {
        "name": "THOTH_FAULTS",
        "value": True,
        "origin": "command line",
        "default": "0",
        "masked": False,
    }
    json.dumps(list(rows.values()))


@given(
    st.integers(8, 1000),
    st.floats(0, 2),
    st.booleans(),
    st.lists(st.sampled_from(["A", "B_1", "c"]), unique=True),
    st.text(alphabet="ab /ä漢.-~\n", min_size=1, max_size=20),
)
def test_settings_are_the_same_after_the_wire(
    size: int, temperature: float, faults: bool, passed: list[str], path: str
) -> None:
    start = Settings.load(cwd=Path("/"), environ={})
    there = replace(
        start,
        chunk_size=size,
        chunk_overlap=size - 1,
        qa_temperature=temperature,
        faults=faults,
        env_pass=tuple(passed),
        vector_db_path=Path(os.path.normpath("/" + path)),
        openai_key="secret",
    )
    back = Settings.from_wire(json.loads(json.dumps(there.to_wire())))
    assert replace(back, openai_key="secret") == there
    assert back.origin("chunk_size") == "service"


def test_a_path_that_is_no_utf8_is_an_error(tmp_path: Path, home: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="RAG_VECTOR_DB_PATH") as caught:
        Settings.load(cwd=tmp_path, environ={**home, "RAG_VECTOR_DB_PATH": "/a/\udcff"})
    str(caught.value).encode()


def test_settings_of_an_older_or_newer_end_are_understood() -> None:
    found = Settings.from_wire({"chunk_size": 90, "of_the_future": 1})
    assert (found.chunk_size, found.retrieval_k) == (90, 4)
    with pytest.raises(SettingsError):
        Settings.from_wire({"chunk_size": "x"})


def test_the_service_folder_is_one_for_each_real_data_folder(
    tmp_path: Path, home: dict[str, str]
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    def of(path: str) -> Path:
        return Settings.load({"RAG_VECTOR_DB_PATH": path}, tmp_path, home).service_dir

    assert of("real") == of("link") == of("./other/../real")
    assert of("real") != of("other")
    assert len(of("real").name) == 16


def test_a_current_folder_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match="not there any more"):
        Settings.load()


def test_names_that_nothing_reads_are_listed_with_what_was_meant() -> None:
    names = ["TORCH_NUM_THREADS", "SQLITE_ENABLE_JSON1", "RAG_EMBEDING_MODEL", "THOTH_XYZZY_QQQQQ"]
    found = dict(unknown_names([*names, "PATH", "RAG_CHUNK_SIZE", "OPENAI_API_KEY", "rag_x"]))
    assert set(found) == {*names, "rag_x"}
    assert "RAG_EMBEDDING_MODEL" in found["RAG_EMBEDING_MODEL"]
    assert found["THOTH_XYZZY_QQQQQ"] == "no such setting"
    assert unknown_names(BY_NAME) == []


def test_every_encoding_that_may_be_named_can_be_loaded_or_replaced() -> None:
    for name in ENCODINGS:
        assert load_encoding(name).asked == name


def test_importing_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys, thoth_core.settings as s; s.Settings.load(environ={'HOME': '/'});"
        "print([m for m in ('numpy', 'dotenv', 'tiktoken', 'zmq', 'tomllib') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "HOME": "/"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


def test_a_model_that_is_a_folder_is_named_by_its_whole_path(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    environ = {"RAG_EMBEDDING_MODEL": "models/mine"}
    assert Settings.load(cwd=tmp_path, environ=environ).embedding_model == str(
        tmp_path / "models" / "mine"
    )
    # One that is no folder here is a name, for whoever looks for models.
    environ = {"RAG_EMBEDDING_MODEL": "BAAI/bge-small-en"}
    assert Settings.load(cwd=tmp_path, environ=environ).embedding_model == "BAAI/bge-small-en"
