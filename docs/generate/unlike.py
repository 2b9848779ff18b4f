"""How the examples are run that build on something, or why they are not: comments for the blocks of
the generated pages, in the form of tests/support/doc_blocks.py."""

from __future__ import annotations

_NOTES = "thoth ingest --collection notes docs/ask.md"
_NONE = "\n".join(
    f"thoth collections delete {name} --yes" for name in ("notes", "notes-2", "notes-of-2026")
)

UNLIKE: dict[str, str] = {
    "thoth collections rename notes notes-of-2026": f"<!-- before: {_NONE}\n{_NOTES} -->",
    "thoth collections reembed notes --model all-MiniLM-L6-v2": f"<!-- before: {_NOTES} -->",
    "thoth collections reembed notes --abort --yes": f"<!-- before: {_NOTES} -->",
    "thoth collections delete notes": "<!-- run: exit 2 -->",
    "thoth stats --collection notes --json": f"<!-- before: {_NOTES} -->",
    "thoth export notes.zip --collection notes": f"<!-- before: {_NOTES} -->",
    "thoth import notes.zip": f"<!-- before: {_NONE} -->",
    "thoth import notes.zip --collection notes --as notes-2": (
        f"<!-- before: {_NONE}\n{_NOTES}\nthoth export notes.zip --collection notes -->"
    ),
    "thoth rescue old/vector_db": f"<!-- before: {_NONE} -->",
    "thoth rescue old/vector_db --collection notes --as notes-2": f"<!-- before: {_NONE} -->",
    "thoth salvage damaged saved.zip": (
        "<!-- before: thoth-supervisor stop --if-running\nrm -rf damaged saved.zip\n"
        "cp -r db/thoth damaged -->"
    ),
    "thoth quarantine retry 1f3a": "<!-- not run: no text is in quarantine here -->",
    "thoth quarantine clear 1f3a 77c0": "<!-- not run: no text is in quarantine here -->",
    "thoth delete --collection notes --id a1 --id a2": (
        f"<!-- before: {_NOTES} -->\n<!-- run: exit 2 -->"
    ),
    "thoth doctor": "<!-- not run: a check may fail on a busy machine -->",
    "thoth doctor --quick --json": "<!-- not run: as above -->",
    "thoth doctor --fix": "<!-- not run: it asks on a terminal -->",
    "thoth doctor --deep --bundle doctor.zip": "<!-- not run: it takes long -->",
    "thoth show 3f2a9c81d0b7": "<!-- not run: ids are hashes of what the pages are today -->",
    "thoth show 3f2a9c81d0b7 --context 2": "<!-- not run: as above -->",
    "thoth config set RAG_COLLECTION_NAME papers --project": (
        "<!-- not run: the other examples would be of another collection -->"
    ),
    "thoth config unset RAG_COLLECTION_NAME --project": "<!-- not run: it is not set here -->",
    "thoth config edit": "<!-- not run: it opens an editor -->",
    "thoth config edit --project": "<!-- not run: it opens an editor -->",
    "thoth-supervisor start": "<!-- before: thoth-supervisor stop --if-running -->",
    "thoth-supervisor start --foreground": ("<!-- before: thoth-supervisor stop --if-running -->"),
    "thoth-supervisor stop": "<!-- before: thoth stats -->",
    "thoth-supervisor stop --fast": "<!-- before: thoth stats -->",
    "thoth-supervisor status": "<!-- before: thoth stats -->",
    "thoth-supervisor status --check --json": (
        "<!-- not run: the workers that an earlier example has restarted may be starting yet -->"
    ),
    "thoth-supervisor crashes 3": "<!-- not run: which ids there are is a matter of chance -->",
}
