"""The environment of a child process: built from a written list, never inherited. Pure.

What a parent happens to export (thread counts, preloaded libraries, an allocator's settings) is
what makes native code in a child behave differently from one shell to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Passed on when set.
PASSED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "TMP",
        "TEMP",
        "LANG",
        "LANGUAGE",
        "TZ",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PYTHONHOME",
        "SYSTEMROOT",
        "TIKTOKEN_CACHE_DIR",
        "HUGGINGFACE_HUB_CACHE",
        "TRANSFORMERS_CACHE",
        "TRANSFORMERS_OFFLINE",
        "SENTENCE_TRANSFORMERS_HOME",
    }
)
PASSED_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "HF_")

#: One runtime with this many threads a process; each library reads another of these names.
THREAD_NAMES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


def child_environment(
    environ: Mapping[str, str], *, threads: int = 1, also: Iterable[str] = ()
) -> dict[str, str]:
    """The variables for a worker: what the list above and ``also`` name, and ``threads`` for each
    native thread pool."""
    wanted = PASSED | set(also)
    child = {
        name: value
        for name, value in environ.items()
        if name in wanted or name.startswith(PASSED_PREFIXES)
    }
    child.update({name: str(threads) for name in THREAD_NAMES})
    child["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    child["PYTHONUNBUFFERED"] = "1"
    child["PYTHONFAULTHANDLER"] = "1"
    # Chroma's own switch; its settings say it again.
    child["ANONYMIZED_TELEMETRY"] = "False"
    return child


def dropped_names(environ: Mapping[str, str], also: Iterable[str] = ()) -> list[str]:
    """The names in ``environ`` that no worker gets, sorted."""
    return sorted(set(environ) - set(child_environment(environ, also=also)))
