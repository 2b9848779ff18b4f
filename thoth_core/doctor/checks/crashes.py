"""Workers that ended as they should not, in the last day."""

from __future__ import annotations

import time
from collections import Counter

from thoth_core.death_reports import deaths_dir, read_reports
from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, ok, warn

#: Seconds.
LATELY = 86_400.0


def check(context: Context) -> Result:
    reports, unreadable = read_reports(deaths_dir(context.settings.data_dir))
    since = time.time() - LATELY
    late = [
        each for each in reports if isinstance(each.get("at"), int | float) and each["at"] > since
    ]
    seen = f"{len(late)} in the last day, {len(reports)} kept"
    if unreadable:
        seen += f", {len(unreadable)} that cannot be read"
    if not late:
        return ok(seen, lately=0, kept=len(reports))
    kinds = Counter(
        f"{each.get('worker')} by {each.get('signal') or each.get('reason')}" for each in late
    )
    return warn(
        seen,
        "; ".join(f"{count} × {kind}" for kind, count in kinds.most_common(5)),
        fix="thoth-supervisor crashes",
        lately=len(late),
        kept=len(reports),
    )
