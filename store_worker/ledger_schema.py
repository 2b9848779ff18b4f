"""The tables of the ledger, and how an older ledger becomes a newer one.

``PRAGMA user_version`` holds the version of the schema: SQLite changes it in the same transaction
as the tables, so a ledger is always wholly of one version.
"""

from __future__ import annotations

import sqlite3
import uuid

from thoth_core.errors import StorageError

#: Marks the file as a ledger of Thoth ("Thot").
APPLICATION_ID = 0x54686F74

# collections.id and chunks.row are AUTOINCREMENT because a number that came back would let a
# leftover of a dropped collection pass for a new one, and would change the order of reading.
_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    model TEXT,
    dimension INTEGER,
    number INTEGER NOT NULL
);

-- Names that a collection left: dropped (successor NULL) or renamed. A write with a lower number
-- was accepted before that.
CREATE TABLE departed (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    successor INTEGER
) WITHOUT ROWID;

-- vector: little-endian float32. computed: 1 by an embed worker, 0 the caller's own.
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections(id),
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    computed INTEGER NOT NULL,
    source TEXT,
    text_hash TEXT,
    metadata TEXT,
    text TEXT,
    vector BLOB NOT NULL,
    UNIQUE (collection, id)
);
CREATE INDEX chunks_reuse ON chunks (text_hash) WHERE computed = 1;
CREATE INDEX chunks_source ON chunks (collection, source) WHERE source IS NOT NULL;

CREATE TABLE tombstones (
    collection INTEGER NOT NULL REFERENCES collections(id),
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;

-- content_hash NULL: the chunks are no longer those that were recorded.
CREATE TABLE documents (
    collection INTEGER NOT NULL REFERENCES collections(id),
    source TEXT NOT NULL,
    content_hash TEXT,
    chunks INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (collection, source)
) WITHOUT ROWID;

-- What the index has yet to be told, in order.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    op TEXT NOT NULL CHECK (op IN ('upsert', 'delete'))
);

CREATE TABLE outcomes (request TEXT PRIMARY KEY, outcome BLOB NOT NULL, at REAL NOT NULL)
    WITHOUT ROWID;
CREATE INDEX outcomes_at ON outcomes (at);
"""

# named: the write that gave the collection its present name. The index has the rows of a collection
# in order, so that a page of it sorts nothing and a count reads little.
_VERSION_2 = """
ALTER TABLE collections ADD COLUMN named INTEGER NOT NULL DEFAULT 0;
CREATE INDEX chunks_order ON chunks (collection);
"""

# collections.space: how nearness is measured there; collections.replaces: of a generation that is
# being made, the collection whose place it is to take (it is hidden until then); 0 of a collection
# that is gone, and whose rows have yet to be deleted. chunks_textless: what cannot be embedded.
# changes.row: the row in chunks, so that whoever follows the log need not look an id up.
# unindexed: chunks that no index takes, because it ends the process that tries.
# stages, staged: what an ingest run has stored of documents that are not committed yet; the stage's
# number is the write number of its begin. A row with an empty vector stands for the live chunk that
# is like it. documents.begun: the stage of the run that wrote them last.
_VERSION_3 = """
ALTER TABLE collections ADD COLUMN space TEXT NOT NULL DEFAULT 'cosine'
    CHECK (space IN ('cosine', 'l2', 'ip'));
ALTER TABLE collections ADD COLUMN replaces INTEGER;
CREATE INDEX chunks_textless ON chunks (collection) WHERE text IS NULL;
ALTER TABLE changes ADD COLUMN row INTEGER;
ALTER TABLE documents ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;

CREATE TABLE unindexed (
    collection INTEGER NOT NULL REFERENCES collections(id),
    id TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;

CREATE TABLE stages (number INTEGER PRIMARY KEY, at REAL NOT NULL);

CREATE TABLE staged (
    stage INTEGER NOT NULL REFERENCES stages(number) ON DELETE CASCADE,
    collection INTEGER NOT NULL REFERENCES collections(id),
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    computed INTEGER NOT NULL,
    text_hash TEXT,
    metadata TEXT,
    text TEXT,
    vector BLOB NOT NULL,
    UNIQUE (stage, collection, source, id)
);
CREATE INDEX staged_reuse ON staged (text_hash) WHERE computed = 1;
CREATE INDEX staged_collection ON staged (collection);
"""

# documents.stored: when the document was last written, in seconds since 1970; NULL of those that
# were written before that was noted.
_VERSION_4 = """
ALTER TABLE documents ADD COLUMN stored REAL;
"""

#: Statements that lead from version n to n + 1, at place n.
MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)


def migrate(db: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the ledger to the newest version, each step in one transaction.

    :class:`StorageError` when the ledger is newer than this program, or no ledger at all.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise StorageError(
            f"the ledger has schema version {version}, this Thoth knows {len(migrations)}",
            cause="it was written by a newer Thoth",
            fix="pip install --upgrade thoth-core",
        )
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    marked = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if tables and not marked:
        raise StorageError(
            "ledger.sqlite3 is a database of another program",
            fix="move it away, or set RAG_VECTOR_DB_PATH to another folder",
        )
    for step in range(version, len(migrations)):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(migrations[step]):
                db.execute(statement)
            if step == 0:
                db.execute("INSERT INTO meta VALUES ('ledger', ?)", (uuid.uuid4().hex,))
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {step + 1}")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _statements(script: str) -> list[str]:
    # executescript would commit first and leave half a step behind a crash.
    statements, current = [], ""
    for line in script.splitlines():
        if line.startswith("--"):
            continue
        current += line + "\n"
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
