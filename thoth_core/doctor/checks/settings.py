"""Settings: whether they can be used is known by now; what nothing reads is said here."""

from __future__ import annotations

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, ok, warn
from thoth_core.settings import unknown_names


def check(context: Context) -> Result:
    settings = context.settings
    unread = [*unknown_names(context.environ), *settings.unread]
    changed = [row["name"] for row in settings.describe() if row["origin"] != "default"]
    seen = f"{len(changed)} set" + (f" ({', '.join(changed)})" if changed else "")
    if not unread:
        return ok(f"{seen}; data in {settings.data_dir}", set=changed, unread=[])
    # Those of the environment can be unset here; the others are in a file that the reason names.
    names = sorted({name for name, _ in unknown_names(context.environ)})
    return warn(
        f"{seen}; nothing reads {', '.join(name for name, _ in unread)}",
        "; ".join(f"{name}: {why}" for name, why in unread),
        fix=f"unset {' '.join(names)}" if names else "thoth config show",
        set=changed,
        unread=[{"name": name, "why": why} for name, why in unread],
    )
