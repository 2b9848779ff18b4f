"""What every Python that is started from here has loaded before it runs a line of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from thoth_core.doctor.context import Context
from thoth_core.doctor.result import Result, failed, ok, warn
from thoth_core.openmp import copies_in, named, several, severe
from thoth_core.supervisor.environment import dropped_names

#: What makes native code behave differently from one shell to the next.
_NATIVE = ("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "MALLOC_", "KMP_", "OMP_", "GOMP_")
_PRELOADING = ("LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES")
_MAPS = "import sys; sys.stdout.write(open('/proc/self/maps').read())"
_SECONDS = 15.0


def check(context: Context) -> Result:
    environ = context.environ
    preloads = [name for name in _PRELOADING if environ.get(name)]
    if sys.platform != "linux":
        return ok(f"preloaded by {', '.join(preloads) or 'nothing'}; the system tells no more")
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-c", _MAPS],
        capture_output=True,
        env=dict(environ),
        timeout=_SECONDS,
    )
    copies = copies_in(done.stdout.decode("utf-8", "replace"))
    dropped = dropped_names(environ, also=context.settings.env_pass)
    kept = [name for name in dropped if name.startswith(_NATIVE)]
    seen = f"a Python of this shell loads {named(copies)}"
    if kept:
        seen += f"; workers do not get {', '.join(kept)}"
    details: dict[str, Any] = {"openmp": copies, "not_passed": kept}
    if done.returncode:
        return failed(
            f"a bare Python ends with {done.returncode}",
            done.stderr.decode("utf-8", "replace").strip()[-300:] or "it said nothing",
            fix=f"unset {' '.join(preloads)}" if preloads else "",
            **details,
        )
    if several(copies):
        # Those of the workers are looked at by themselves: they need not get what is loaded here.
        found = failed if severe(copies) else warn
        return found(
            seen,
            "more than one OpenMP runtime in a process is a cause of segmentation faults, here in "
            "every program that this shell starts",
            fix=f"unset {' '.join(preloads)}" if preloads else "",
            **details,
        )
    return ok(seen, **details)
