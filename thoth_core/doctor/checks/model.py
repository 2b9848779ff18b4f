"""The files of the model, and their hash: looked for as an embed worker would."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.provider import is_openai, lacks_key
from thoth_core.supervisor.environment import child_environment

#: Seconds to look, and to read the weights.
SECONDS = 50.0
#: The embedding model that comes as a package.
PACKAGED = "all-MiniLM-L6-v2"


def check(context: Context) -> Result:
    settings = context.settings
    name = settings.embedding_model
    if is_openai(name):
        lacking = lacks_key(name, settings.openai_key, settings.openai_base_url)
        seen = f"{name} is asked of {settings.openai_base_url}"
        if lacking:
            return failed(seen, lacking, fix=enter_key(running=context.status is not None))
        return ok(f"{seen}; thoth doctor --openai asks it")
    if name.startswith("fake/"):
        context.model_here = True
        return ok(f"{name} needs no files: it is for tests")
    told = _asked(context)
    if "error" not in told:
        context.model_here = True
        # Those of the package are looked at before they are believed.
        known = ", as they must be" if told["place"] == "package" else ""
        return ok(
            f"{told['name']} in {told['folder']} ({told['place']}), weights sha256 "
            f"{told['weights'][:16]}…{known}",
            **told,
        )
    context.model_here = False
    error = told["error"]
    details: dict[str, Any] = error.get("details") or {}
    seen, cause = str(error["message"]), str(details.get("cause") or "")
    if told.get("hub") and not context.offline:
        return warn(
            f"{name} is not on this machine yet",
            f"a service that is started asks the hub for it, which takes a network; {cause}",
            fix="thoth-supervisor start",
        )
    fix = str(details.get("fix") or "")
    if fix.startswith("pip "):
        return failed(seen, cause, acts=[tuple(fix.replace('"', "").split())])
    return failed(seen, cause, fix=f"export RAG_EMBEDDING_MODEL={PACKAGED}")


def enter_key(*, running: bool) -> str:
    """Commands that ask for a key and take it into the environment of the shell, unseen."""
    # The -s of read is not every shell's.
    unseen = "stty -echo 2>/dev/null; read -r API_OPENAI_KEY; stty echo 2>/dev/null"
    known = f"printf 'key: '; {unseen}; export API_OPENAI_KEY"
    return f"{known}; thoth-supervisor reload" if running else known


def _asked(context: Context) -> dict[str, Any]:
    environ = child_environment(context.environ, also=context.settings.env_pass)
    words = [sys.executable, "-P", "-m", "embed_worker.look", context.settings.embedding_model]
    if context.deep:
        # What was read before is read again.
        words.append("--read")
    done = subprocess.run(words, capture_output=True, env=environ, timeout=SECONDS, cwd="/")
    try:
        told = json.loads(done.stdout.decode("utf-8", "replace").splitlines()[-1])
    except (ValueError, IndexError) as problem:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RuntimeError(said[-1] if said else f"it ended with {done.returncode}") from problem
    assert isinstance(told, dict)
    return told
