"""What of logs and reports may be shown to others: no key, and nothing that may be of a text. Pure.

In our own messages what is another's, a library's error above all, stands after a colon or in
quotes. So of a line of ours stay its time, level and logger, and the words before the first colon,
without what is quoted; of other loggers' lines no words; of an exception its type; of a traceback
the places. All other lines are counted, not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from thoth_core.log_format import parse, readable
from thoth_core.provider_errors import without_keys

#: Characters of a message that are shown.
MOST = 300
_PLACE = re.compile(r'\s*File "[^"]*", line \d+(, in [\w.<>]+| in [\w.<>]+)?')
_ERROR = re.compile(
    r"([A-Za-z_][\w.]*(Error|Exception|Warning|Interrupt|Exit|Input|Failed|Found)):.*"
)
#: A record that was written as JSON, put as text.
_JSON_AS_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\S+Z [A-Z]+ (\S+): ")
_HEADS = (
    "Traceback (most recent call last)",
    "Fatal Python error: ",
    "Thread 0x",
    "Current thread",
)
#: From the first of a pair to the last of them, or to the end where it is not closed.
_QUOTED = (
    re.compile(r"\"[^\n]*\"|\"[^\n]*$"),
    re.compile(r"(?<!\w)'[^\n]*'(?!\w)|(?<!\w)'[^\n]*$"),
    re.compile(r"[“‘«][^\n]*[”’»]|[“‘«][^\n]*$"),
    re.compile(r"`[^\n]*`|`[^\n]*$"),
    re.compile(r"\[[^\n]*\]|\[[^\n]*$"),
    re.compile(r"\{[^\n]*\}|\{[^\n]*$"),
)
#: What follows is another's, which may be anything.
_COLON = re.compile(r": .*", re.DOTALL)
#: But not while a model is loaded, when no text has come yet.
_LOADING = re.compile(
    r"(model \S+ from |torch computes |the CPU computes |compiled without |converted after |"
    r"computing in |measured on |no model |the embedding model )"
)
#: Ids are made up by callers.
_ROW = re.compile(r"\brow (?!is\b).*")


def log_lines(lines: Iterable[str], key: str = "") -> list[str]:
    """The lines of a log as they may be shown."""
    shown: list[str] = []
    left_out = 0
    for line in lines:
        for each in readable(line.rstrip("\n")).split("\n"):
            kept = _line(each, key)
            if kept is None:
                left_out += bool(each.strip())
                continue
            if left_out:
                shown.append(f"… {left_out} lines left out")
                left_out = 0
            shown.append(kept)
    if left_out:
        shown.append(f"… {left_out} lines left out")
    return shown


def message(text: str, key: str = "") -> str:
    """A message without what it quotes."""
    for pattern in _QUOTED:
        text = pattern.sub("…", text)
    return without_keys(text, key)[:MOST]


def log_message(text: str, logger: str, key: str = "") -> str:
    """What of a log's message may be shown."""
    if not logger.startswith("thoth"):
        return "…"
    if not _LOADING.match(text):
        text = _ROW.sub("row …", _COLON.sub(": …", text))
    return message(text, key)


def report(death: Mapping[str, Any], key: str = "") -> dict[str, Any]:
    """A death report without what its process wrote, but for what may be shown of that."""
    kept = {name: value for name, value in death.items() if name not in ("output", "failure")}
    kept["output"] = log_lines(map(str, death.get("output") or ()), key)
    kept["reason"] = message(str(death.get("reason") or ""), key)
    failure = death.get("failure")
    if isinstance(failure, Mapping):
        kept["failure"] = {
            "code": str(failure.get("code")),
            "message": message(str(failure.get("message")), key),
        }
    return kept


def everywhere(value: Any, key: str) -> Any:
    """``value``, plain JSON, with no key in any string of it."""
    if isinstance(value, str):
        return without_keys(value, key)
    if isinstance(value, Mapping):
        return {str(name): everywhere(each, key) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [everywhere(each, key) for each in value]
    return value


def _line(line: str, key: str) -> str | None:
    entry = parse(line, None)
    if entry["time"] is not None:
        head = f"{entry['time']} {entry['level']} {entry['logger']}"
        return f"{head}: {log_message(entry['message'], str(entry['logger']), key)}"
    if from_json := _JSON_AS_TEXT.match(line):
        return f"{from_json[0]}{log_message(line[from_json.end() :], from_json[1], key)}"
    if place := _PLACE.match(line):
        return place[0]
    if error := _ERROR.fullmatch(line):
        return f"{error[1]}: …"
    if line.startswith(_HEADS):
        return message(line, key)
    return None
