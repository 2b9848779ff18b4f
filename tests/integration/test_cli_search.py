"""Searching and looking around from the command line: one real service, real files, real shells."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import BIN, RealService
from thoth_core import AsyncThoth, ChunkNotFound, InvalidInput, Thoth

EVIL = "escape \x1b]0;owned\x07 and \x9b31m and \u202e turned"
EVIL_NAME = "odd/\x1b[31m\nname"


@pytest.fixture(scope="module")
def service() -> Iterator[RealService]:
    made = RealService.make("fake/32", RAG_CHUNK_SIZE="20", RAG_CHUNK_OVERLAP="0")
    folder = made.root / "notes"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "keys.md").write_text(
        "# House\n\n## Keys\n\n" + "The keys are on the table in the hall. " * 12
    )
    (folder / "lamp.txt").write_text("The lamp is in the cellar.\n")
    (folder / "sub dir" / "deep file.txt").write_text("A deep note about the garden.\n")
    (folder / "line\nbreak.txt").write_text("A file with an odd name.\n")
    try:
        made.start()
        done = made.run("thoth", "ingest", "notes")
        assert done.returncode == 0, done.stderr
        with made.client() as client:
            client.add(["wiki text"], metadatas=[{"source": "wiki/Start"}], ids=["wiki 1"])
            client.add([EVIL], metadatas=[{"source": EVIL_NAME}], ids=["evil"])
        yield made
    finally:
        made.close()


def told(service: RealService, *command: str) -> Any:
    done = service.run("thoth", *command, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def found(service: RealService, *options: str) -> set[str]:
    results = told(service, "query", "anything", "-k", "50", *options)["results"]
    return {each["source"].removeprefix(f"{service.root}/") for each in results}


KEYS, LAMP, DEEP = "notes/keys.md", "notes/lamp.txt", "notes/sub dir/deep file.txt"
BREAK, WIKI = "notes/line\nbreak.txt", "wiki/Start"


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        (["*.md"], {KEYS}),
        (["notes/*.txt"], {LAMP, BREAK}),
        (["notes/sub dir/"], {DEEP}),
        (["notes/**/*.txt"], {LAMP, DEEP, BREAK}),
        (["wiki/*"], {"wiki/Start"}),
        (["*.md", "deep file.txt"], {KEYS, DEEP}),
        (["/nowhere/*"], set()),
    ],
)
def test_a_query_is_narrowed_to_sources(
    service: RealService, globs: list[str], expected: set[str]
) -> None:
    options = [part for each in globs for part in ("--source", each)]
    assert found(service, *options) == expected


def test_an_absolute_source_and_one_from_another_folder(service: RealService) -> None:
    assert found(service, "--source", f"{service.root}/notes/keys.md") == {KEYS}
    done = subprocess.run(
        [BIN / "thoth", "query", "x", "--source", "./lamp*", "--json"],
        cwd=service.root / "notes",
        env=service.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    [only] = json.loads(done.stdout)["results"]
    assert only["source"].endswith("lamp.txt")


def test_since_is_about_documents_and_their_last_writing(service: RealService) -> None:
    assert KEYS in found(service, "--since", "1h")
    # What no ingest stored has no such time.
    assert "wiki/Start" not in found(service, "--since", "1h")
    assert found(service, "--since", "2100-01-01") == set()
    done = service.run("thoth", "query", "x", "--since", "whenever")
    assert done.returncode == 2
    assert "7d" in done.stderr


def test_a_wrong_operator_says_which_there_are(service: RealService) -> None:
    done = service.run("thoth", "query", "x", "--where", '{"a": {"$like": "b"}}')
    assert done.returncode == 2
    for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$contains"):
        assert operator in done.stderr
    done = service.run("thoth", "query", "x", "--where-document", '{"$like": "b"}')
    assert done.returncode == 2
    for operator in ("$contains", "$not_contains", "$regex", "$not_regex", "$and", "$or"):
        assert operator in done.stderr


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ('{"line_start": 1}', {LAMP, DEEP, BREAK, KEYS}),
        ('{"line_start": {"$eq": 1}}', {LAMP, DEEP, BREAK, KEYS}),
        ('{"ordinal": {"$ne": 0}}', {KEYS, WIKI, EVIL_NAME}),
        ('{"ordinal": {"$gt": 1}}', {KEYS}),
        ('{"ordinal": {"$lt": 0}}', set()),
        ('{"$and": [{"ordinal": {"$gte": 1}}, {"ordinal": {"$lte": 1}}]}', {KEYS}),
        ('{"source": {"$in": ["wiki/Start"]}}', {WIKI}),
        ('{"ordinal": {"$nin": [0, 1]}}', {KEYS, WIKI, EVIL_NAME}),
        ('{"$or": [{"source": "wiki/Start"}, {"ordinal": {"$gt": 0}}]}', {KEYS, WIKI}),
        ('{"tags": {"$contains": "x"}}', set()),
        ('{"#document": {"$contains": "cellar"}}', {LAMP}),
    ],
)
def test_the_operators_over_metadata(service: RealService, where: str, sources: set[str]) -> None:
    assert found(service, "--where", where) == sources


@pytest.mark.parametrize(
    ("where", "sources"),
    [
        ('{"$contains": "cellar"}', {LAMP}),
        ('{"$regex": "l[au]mp"}', {LAMP}),
        ('{"$and": [{"$contains": "the"}, {"$not_contains": "keys"}]}', {LAMP, DEEP}),
        ('{"$or": [{"$contains": "cellar"}, {"$contains": "garden"}]}', {LAMP, DEEP}),
        ('{"$not_regex": "[aeiou]"}', set()),
    ],
)
def test_the_operators_over_texts(service: RealService, where: str, sources: set[str]) -> None:
    names = ["--source", "notes/lamp.txt", "--source", "deep file.txt", "--source", "*.md"]
    assert found(service, "--where-document", where, *names) == sources


def test_what_query_prints_can_be_given_to_show(service: RealService) -> None:
    for query in ("The lamp is in the cellar.", "wiki text"):
        done = service.run("thoth", "query", query, "-k", "1")
        [shown] = re.findall(r"^   id: (.+)$", done.stdout, re.MULTILINE)
        [id] = shlex.split(shown)
        again = service.run("thoth", "show", id)
        assert again.returncode == 0, again.stderr
        assert query in again.stdout


def test_show_tells_all_of_a_chunk_and_its_neighbours(service: RealService) -> None:
    results = told(service, "query", "x", "-k", "50", "--source", "keys.md")["results"]
    by_place = {each["metadata"]["ordinal"]: each["id"] for each in results}
    assert len(by_place) > 3
    shown = told(service, "show", by_place[1][:12], "--context", "2")
    assert shown["id"] == by_place[1]
    assert [each["id"] for each in shown["before"]] == [by_place[0]]
    assert [each["id"] for each in shown["after"]] == [by_place[2], by_place[3]]
    assert shown["metadata"]["heading"] == "House > Keys"
    assert shown["stored"]
    plain = service.run("thoth", "show", by_place[1], "--context", "1").stdout
    assert "place: notes/keys.md:" in plain
    assert plain.count("keys are on the table") >= 2
    done = service.run("thoth", "show", "no such")
    assert done.returncode == 1
    assert "fix: " in done.stderr


def test_sources_are_listed_with_chunks_and_time(service: RealService) -> None:
    every = told(service, "sources")["sources"]
    assert [each["source"] for each in every] == sorted(each["source"] for each in every)
    rows = {each["source"].removeprefix(f"{service.root}/"): each for each in every}
    assert set(rows) == {KEYS, LAMP, DEEP, BREAK, WIKI, EVIL_NAME}
    assert rows[KEYS]["chunks"] > 3
    assert rows["wiki/Start"]["stored"] is None
    assert told(service, "sources", "*.md", "--since", "1h")["sources"] == [rows[KEYS]]
    assert len(told(service, "sources", "--limit", "2")["sources"]) == 2
    lines = service.run("thoth", "sources").stdout.splitlines()
    assert len(lines) == 6
    assert any(re.match(r"notes/lamp\.txt\t1 chunks\t\d{4}-\d\d-\d\d \d\d:\d\d$", x) for x in lines)
    assert any(line.startswith("notes/line\\nbreak.txt\t") for line in lines)
    done = service.run("thoth", "sources", "--collection", "not-there", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "collection_not_found"


def test_a_stored_text_writes_no_escape_sequences(service: RealService) -> None:
    for command in (["query", EVIL, "-k", "9", "--full"], ["query", EVIL, "-k", "9"], ["sources"]):
        for more in ([], ["--json"]):
            out = service.run("thoth", *command, *more).stdout
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out), command


def on_a_terminal(service: RealService, *command: str, **env: str) -> str:
    """What a command writes to a terminal of 60 columns."""
    ours, theirs = pty.openpty()
    environ = service.environ() | {"TERM": "xterm", "COLUMNS": "60", "NO_COLOR": ""} | env
    process = subprocess.Popen(
        [BIN / command[0], *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=service.root,
    )
    os.close(theirs)
    out = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            out += part
    finally:
        os.close(ours)
        assert process.wait(30) == 0, out
    return out.decode().replace("\r\n", "\n")


def test_on_a_terminal_words_are_bold_and_lines_fit(service: RealService) -> None:
    command = ("thoth", "query", "Keys table?", "-k", "1", "--source", "keys.md")
    out = on_a_terminal(service, *command)
    assert "\x1b[1mkeys\x1b[0m" in out
    assert "\x1b[1mtable\x1b[0m" in out
    plain = re.sub(r"\x1b\[\d*m", "", out)
    assert "\x1b" not in plain
    assert all(len(line) <= 60 for line in plain.splitlines()[1:])
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(service, *command, **env), env
    assert "\x1b" not in on_a_terminal(service, *command, "--color", "never")


def test_elsewhere_nothing_is_marked_unless_asked(service: RealService) -> None:
    command = ("thoth", "query", "Keys table?", "-k", "1", "--source", "keys.md")
    assert "\x1b" not in service.run(*command).stdout
    assert "\x1b[1mkeys\x1b[0m" in service.run(*command, "--color", "always").stdout


def test_the_library_narrows_lists_and_shows(service: RealService) -> None:
    with service.client() as thoth:
        hits = thoth.query("x", k=9, source="*.txt", since="1h")
        assert {Path(h.source).suffix for h in hits} == {".txt"}
        [many] = thoth.query_many(["x"], k=9, source=["*.md"])
        vector = thoth.embed(["x"])[0]
        assert {h.id for h in many} == {h.id for h in thoth.search(vector, 9, source="*.md")}
        assert [s.source for s in thoth.sources("wiki/*")] == ["wiki/Start"]
        assert thoth.show("wiki").chunk.text == "wiki text"
        with pytest.raises(ChunkNotFound):
            thoth.show("nope")
        with pytest.raises(InvalidInput):
            thoth.query("x", source="")
        with pytest.raises(InvalidInput):
            thoth.query("x", since="soon")


async def _in_a_loop(service: RealService) -> None:
    async with AsyncThoth(service.settings(), autostart=False) as thoth:
        assert {h.source for h in await thoth.query("x", source="wiki/*")} == {"wiki/Start"}
        assert [s.source async for s in thoth.sources("wiki/*")] == ["wiki/Start"]
        assert (await thoth.show("wiki")).chunk.text == "wiki text"


def test_the_library_does_so_in_a_loop_too(service: RealService) -> None:
    import asyncio

    asyncio.run(_in_a_loop(service))


# ---- completion


def completed(service: RealService, line: str) -> list[str]:
    """What a real bash offers for the last word of ``line``."""
    words = shlex.join(re.split(r"(?<!\\) ", line))
    script = f"""
source <(thoth completion bash) || exit 7
COMP_LINE={shlex.quote(line)}
COMP_POINT=${{#COMP_LINE}}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ :; }}
_thoth_completion thoth
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        cwd=service.root,
        env=service.environ(PATH=f"{BIN}:{os.environ['PATH']}"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


@pytest.fixture(params=["running", "stopped"])
def either(request: pytest.FixtureRequest, service: RealService) -> Iterator[RealService]:
    """The service, or its data without it."""
    if request.param == "running":
        yield service
        return
    # As a service that was stopped in order leaves it: without a log beside the ledger.
    copy = RealService.make("fake/32")
    target = copy.root / "db" / "thoth"
    target.mkdir(parents=True)
    import sqlite3

    source = sqlite3.connect(f"file:{service.settings().data_dir}/ledger.sqlite3?mode=ro", uri=True)
    with sqlite3.connect(target / "ledger.sqlite3") as into:
        source.backup(into)
        into.execute(
            "UPDATE chunks SET source = replace(source, ?, ?)", (str(service.root), str(copy.root))
        )
    source.close()
    into.close()
    before = sorted(target.iterdir())
    yield copy
    assert sorted(target.iterdir()) == before
    copy.close()


def test_bash_completes_commands_collections_and_sources(either: RealService) -> None:
    assert completed(either, "thoth so") == ["sources"]
    assert completed(either, "thoth query --coll") == ["--collection"]
    assert completed(either, "thoth query --collection ") == ["thoth_knowledge"]
    assert completed(either, "thoth collections delete th") == ["thoth_knowledge"]
    assert completed(either, "thoth query --source ") == ["notes/"]
    assert completed(either, "thoth query --source notes/") == [
        "notes/keys.md",
        "notes/lamp.txt",
        r"notes/sub\ dir/",
    ]
    assert completed(either, r"thoth sources notes/sub\ dir/") == [r"notes/sub\ dir/deep\ file.txt"]
    assert completed(either, "thoth query --source wi") == ["wiki/"]
    assert completed(either, f"thoth sources {either.root}/notes/k") == [
        f"{either.root}/notes/keys.md"
    ]


def test_somebody_at_a_bash_gets_to_a_source_by_tabs(service: RealService) -> None:
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=service.environ(PATH=f"{BIN}:{os.environ['PATH']}", TERM="dumb", PS1="ready> "),
        cwd=service.root,
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""

    def until(wanted: str, typed: str) -> None:
        nonlocal seen
        os.write(ours, typed.encode())
        seen = ""
        while wanted not in seen:
            assert select.select([ours], [], [], 30)[0], seen
            seen += os.read(ours, 65536).decode()

    try:
        until("ready> ", "")
        until("ready> ", "source <(thoth completion bash)\n")
        until("sources ", "thoth sour\t")
        until("notes/", "no\t")
        # Two backslashes here, because what is typed comes back with one.
        until("sub\\ dir/", "su\t")
        until("deep\\ file.txt", "\t")
        until("1 chunks", "\n")
        assert "deep file.txt\t1 chunks" in seen.replace("       ", "\t")
    finally:
        shell.terminate()
        os.close(ours)
        shell.kill()
        shell.wait(10)


def test_where_nothing_is_stored_completion_is_silent_and_makes_nothing(
    service: RealService, tmp_path: Path
) -> None:
    empty = RealService(tmp_path, service.env | {"RAG_VECTOR_DB_PATH": str(tmp_path / "none")})
    assert completed(empty, "thoth query --collection ") == []
    assert completed(empty, "thoth query --source ") == []
    assert not (tmp_path / "none").exists()
    bad = RealService(tmp_path, service.env | {"RAG_CHUNK_SIZE": "none"})
    assert completed(bad, "thoth query --collection ") == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_completes_too(service: RealService) -> None:
    script = """
autoload -Uz compinit && compinit -u -D
source <(thoth completion zsh) || exit 7
compadd() { print -l -- $completions }
_describe() { print -l -- $completions_with_descriptions }
words=(thoth query --source notes/); CURRENT=4
_thoth_completion
words=(thoth sour); CURRENT=2
_thoth_completion
"""
    done = subprocess.run(
        ["zsh", "-f", "-c", script],
        capture_output=True,
        text=True,
        cwd=service.root,
        env=service.environ(PATH=f"{BIN}:{os.environ['PATH']}"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "notes/keys.md" in lines
    assert "notes/sub dir/" in lines
    assert any(line.startswith("sources:") for line in lines)


def test_every_shell_has_a_script(service: RealService) -> None:
    for shell, word in (("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --no-")):
        out = service.run("thoth", "completion", shell).stdout
        assert word in out
        assert "_THOTH_COMPLETE" in out
    bash = service.run("thoth", "completion", "bash").stdout
    # What click's own script gets wrong, and that our change of it took hold.
    assert "read -r type" in bash
    assert "nospace" in bash
    assert service.run("thoth", "completion", "powershell").returncode == 2


def test_a_client_in_another_folder_narrows_from_there(
    service: RealService, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = service.settings()
    monkeypatch.chdir(service.root / "notes" / "sub dir")
    with Thoth(settings, autostart=False) as thoth:
        assert {Path(h.source).name for h in thoth.query("x", source="./*")} == {"deep file.txt"}
        assert {Path(h.source).name for h in thoth.query("x", source="../lamp.txt")} == {"lamp.txt"}


def test_delete_by_source_takes_documents_and_added_texts(service: RealService) -> None:
    folder = service.root / "gone"
    folder.mkdir()
    for n in range(5):
        (folder / f"{n}.txt").write_text(f"Text number {n}.\n" * 9)
    given = ("--collection", "gone")
    assert service.run("thoth", "ingest", "gone", *given).returncode == 0
    with service.client() as client:
        metadata = {"source": f"{folder}/added.txt"}
        client.add(["added"], metadatas=[metadata], ids=["added"], collection="gone")
    done = service.run("thoth", "delete", "--source", "gone/*", *given)
    assert done.returncode == 2
    assert "all of gone/0.txt, gone/1.txt, gone/2.txt and 3 more?" in done.stderr
    done = service.run("thoth", "delete", "--source", "gone/*", "--id", "x", *given)
    assert done.returncode == 2 and "--source goes alone" in done.stderr
    before = told(service, "sources", *given)["sources"]
    one = told(service, "delete", "--source", "gone/0.txt", "--yes", *given)
    assert one["deleted"] == before[0]["chunks"] > 1
    rest = told(service, "delete", "--source", "gone/*", "--yes", *given)
    assert rest["deleted"] == sum(each["chunks"] for each in before[1:])
    assert told(service, "sources", *given)["sources"] == []
    done = service.run("thoth", "delete", "--source", "gone/*", "--yes", *given)
    assert (done.returncode, done.stdout) == (0, "deleted: 0\n")
    assert "no source that matches" in done.stderr
    # Its files are there still.
    again = told(service, "ingest", "gone", *given)
    assert again["files"]["new"] == 5
