"""Models of OpenAI, or of a server that speaks its protocol, asked for over the network.

Several requests are under way at once, in one event loop of a thread of its own; :meth:`embed` may
be called from several threads. Nothing is sent before texts are to be embedded.
:mod:`embed_worker.engines.openai_requests` sends; when, how often and what comes of it is decided
in :mod:`embed_worker.pace`, :mod:`embed_worker.gate` and :mod:`embed_worker.provider_answers`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from embed_worker import provider_answers as answers
from embed_worker.engines.base import Credit, Embedded, EngineInfo, Options, Progress, Vectors
from embed_worker.engines.openai_requests import Sender, described
from embed_worker.gate import Gate
from embed_worker.pace import Pace
from embed_worker.windows import LongTexts, Piece, plan, pool
from thoth_core.encoding import load_encoding
from thoth_core.errors import (
    AuthenticationFailed,
    MissingDependency,
    ProviderUnavailable,
    SettingsError,
    ThothError,
    from_dict,
)
from thoth_core.prices import EMBEDDING_ENCODING
from thoth_core.provider import OPENAI
from thoth_core.provider_errors import without_keys
from thoth_core.worker.secret import Secret

#: What the provider allows: inputs and tokens a request, and tokens an input.
MOST_INPUTS, MOST_TOKENS, MOST_INPUT_TOKENS = 2048, 300_000, 8191
#: Units under way at once. With a hundred texts each that is more than any limit of the provider
#: lets through; :mod:`embed_worker.pace` holds back what is too much. And units besides for those
#: who wait.
AT_ONCE, SPARE = 32, 8
#: Seconds for a whole answer.
WHOLE = 100.0
#: Seconds for which failures on the way are tried again, since anything last went well; and where
#: somebody waits, or nobody ever answered: the address may be wrong.
GIVE_UP, GIVE_UP_SOON = 300.0, 20.0
#: Answers to one request that were not what was asked for.
MOST_BAD = 6
#: Failures of one request on the way, beyond which it is its inputs: were it the server, nothing
#: would have gone well for :data:`GIVE_UP` by then.
MOST_LOST = 20
#: Seconds after a refusal of the whole account in which nothing is sent that would be refused too:
#: dispatch hears of it, and gives out nothing more of that call.
HOLD = 0.25
#: Seconds between looks at whether the work goes on to be wanted.
LOOK = 0.25

#: Dimensions of the models that are known; of others they are asked for, or set.
DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
#: Those that can give fewer.
SHORTENED = "text-embedding-3-"


class InputsRefused(Exception):
    """The provider refuses these inputs. They are tried one by one then."""


class _Job:
    """One call of ``embed``; ``urgent`` if somebody waits for it. ``began`` is monotonic."""

    def __init__(self, urgent: bool, began: float) -> None:
        self.urgent = urgent
        self.began = began


class OpenAIEngine:
    """See the module. ``waits`` is told until when (monotonic seconds) nothing is sent because the
    provider said so, and None when that is over."""

    def __init__(
        self,
        options: Options,
        key: Secret,
        log: logging.Logger,
        waits: Callable[[float | None], None] = lambda until: None,
    ) -> None:
        self._model = options.model.removeprefix(OPENAI)
        self._sender = Sender(self._model, options.base_url, key)
        self._server = options.base_url
        self._key = key
        self._log = log
        self._waits = waits
        self._batch = min(options.batch_size, MOST_INPUTS)
        self._rule = LongTexts(options.long_text, MOST_INPUT_TOKENS)
        self._encoding = load_encoding(EMBEDDING_ENCODING)
        self._sender.shorten = options.dimensions
        self._refusal: tuple[float, int, ThothError] | None = None
        self._went_well: float | None = None
        self._loop = asyncio.new_event_loop()
        self._gate = Gate(Pace(), self._tell_wait)
        self._turns = 0
        self._loop.call_soon(self._turn)
        threading.Thread(target=self._loop.run_forever, name="openai", daemon=True).start()
        self._dimension = self._find_dimension(options.dimensions)
        self._info = EngineInfo(
            name=OPENAI + self._model,
            weights=self._model,
            dimension=self._dimension,
            normalized=True,
            prompt=None,
            long_text=self._rule.describe(),
            max_tokens=MOST_INPUT_TOKENS,
            precision="float32",
            credit=Credit(AT_ONCE, self._batch, MOST_TOKENS, SPARE),
            versions={"engine": "openai", "openai": version("openai")},
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def threads(self) -> dict[str, int]:
        return {}

    def embed(self, texts: Sequence[str], purpose: str, progress: Progress) -> Embedded:
        """As of every engine; from any thread. ``progress`` is called in the caller's, also while
        the provider has it wait."""
        if not texts:
            return Embedded(np.empty((0, self._dimension), dtype=np.float32), [], [])
        tokens = [self._encoding.tokens(text) for text in texts]
        made = plan([len(each) for each in tokens], self._rule)
        inputs = [
            texts[piece.text]
            if piece.tokens == len(tokens[piece.text])
            else self._encoding.text_of(tokens[piece.text][piece.start : piece.end])
            for piece in made.pieces
        ]
        progress()
        vectors = self._ask(inputs, made.pieces, purpose == "query", progress)
        return Embedded(
            pool(made.pieces, vectors, len(texts)), made.tokens, made.windowed, dict(made.errors)
        )

    # -- from the caller's thread to the loop -------------------------------------------------

    def _ask(
        self, inputs: Sequence[str], pieces: Sequence[Piece], urgent: bool, progress: Progress
    ) -> Vectors:
        if not inputs:
            return np.empty((0, self._dimension), dtype=np.float32)
        job = _Job(urgent, time.monotonic())
        most = int(min(MOST_TOKENS, self._gate.pace.most_tokens))
        groups = groups_of([piece.tokens for piece in pieces], self._batch, most)
        asked = self._all(job, [[inputs[i] for i in group] for group in groups], groups, pieces)
        vectors = np.empty((len(inputs), self._dimension), dtype=np.float32)
        for group, rows in zip(groups, self._wait(asked, progress), strict=True):
            vectors[group] = rows
        return vectors

    def _wait(self, asked: Any, progress: Progress) -> list[Vectors]:
        # Each wait in the loop has an end of its own, so as long as the loop turns the work goes
        # on, also where the provider has it wait, or takes longer than THOTH_UNIT_TIMEOUT.
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        seen = 0
        try:
            while not concurrent.futures.wait([future], LOOK).done:
                if self._turns != seen:
                    seen = self._turns
                    progress()
            made: list[Vectors] = future.result()
        except BaseException:
            future.cancel()
            raise
        progress()
        return made

    # -- in the loop --------------------------------------------------------------------------

    def _turn(self) -> None:
        """The loop lives."""
        self._turns += 1
        self._loop.call_later(LOOK, self._turn)

    async def _all(
        self,
        job: _Job,
        requests: Sequence[Sequence[str]],
        groups: Sequence[Sequence[int]],
        pieces: Sequence[Piece],
    ) -> list[Vectors]:
        counts = [sum(pieces[i].tokens for i in group) for group in groups]
        tasks = [
            asyncio.ensure_future(self._request(job, inputs, tokens))
            for inputs, tokens in zip(requests, counts, strict=True)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            # The others are paid for and of no use any more: those not sent yet are not sent.
            for task in tasks:
                task.cancel()
            raise

    async def _request(self, job: _Job, inputs: Sequence[str], tokens: int) -> Vectors:
        tries = bad = lost = 0
        while True:
            self._check_refusal(job)
            await self._gate.passed(tokens, urgent=job.urgent)
            status: int | None = None
            error: Mapping[str, Any] = {}
            headers: Mapping[str, str] | None = None
            key, version = self._key.get()
            try:
                self._check_refusal(job)
                async with asyncio.timeout(WHOLE):
                    headers, data = await self._sender.send(inputs)
                rows = answers.vectors_of(data, len(inputs), self._expected())
            except (asyncio.CancelledError, ThothError):
                raise
            except answers.OtherLength as problem:
                # It would be so each time, and paid for.
                raise SettingsError(
                    f"{self._server} gives vectors of {problem.length} numbers for {self._model}",
                    cause=f"it is known, or was told before, to have {self._dimension}",
                    fix="set RAG_EMBEDDING_MODEL to the name that this server has for its model",
                ) from problem
            except answers.BadAnswer as problem:
                bad += 1
                said = str(problem)
            except Exception as problem:
                status, error, headers, said = described(problem, key)
            else:
                self._went_well = time.monotonic()
                return rows
            finally:
                self._gate.pace.ended(time.monotonic(), tokens, headers)
                self._gate.answered()
            tries += 1
            lost += status != 429
            if status in (401, 403) and version != self._key.version:
                # There is another key by now.
                continue
            too_large = status == 429 and tokens > self._gate.pace.most_tokens
            await self._after_failure(job, tokens, status, error, headers or {}, said, tries, bad)
            if lost >= MOST_LOST or (too_large and len(inputs) == 1):
                raise InputsRefused(said)
            if too_large:
                # It will never fit into a minute.
                half = len(inputs) // 2
                parts = [
                    await self._request(job, part, sum(map(self._encoding.count, part)))
                    for part in (inputs[:half], inputs[half:])
                ]
                return np.concatenate(parts)

    async def _after_failure(
        self,
        job: _Job,
        tokens: int,
        status: int | None,
        error: Mapping[str, Any],
        headers: Mapping[str, str],
        said: str,
        tries: int,
        bad: int,
    ) -> None:
        """Return when the request is to be sent again, or raise why not."""
        now = time.monotonic()
        found = answers.verdict(
            status,
            error,
            headers,
            model=self._model,
            server=self._server,
            tries=tries,
            chance=random.random(),
            wall=time.time(),
        )
        if isinstance(found, AuthenticationFailed) and not self._key.get()[0]:
            found = answers.no_key(self._server)
        if isinstance(found, ThothError):
            self._refusal = (now, self._sender.version, found)
            self._log.error("%s: %s", found.message, found.cause)
            raise found
        if isinstance(found, answers.Refused):
            raise InputsRefused(found.said)
        if isinstance(found, answers.NoFloats):
            if not self._sender.base64:
                raise InputsRefused(without_keys(said))
            self._sender.base64 = False
            return
        patience = GIVE_UP
        if job.urgent or (self._went_well is None and status is None and not bad):
            patience = GIVE_UP_SOON
        end = self._since(job) + patience
        if bad >= MOST_BAD or (status != 429 and now >= end):
            there = self._went_well is not None or status is not None or bad
            raise ProviderUnavailable(
                f"{self._server} does not answer as it should"
                if there
                else f"no server answers at {self._server}",
                cause=f"after {tries} tries: {said}",
                fix="run the same again later: what is stored is not embedded again"
                if there
                else "start it, or set OPENAI_BASE_URL (then: thoth-supervisor stop; "
                "thoth-supervisor start)",
            )
        what = f"HTTP {status}" if status is not None else said
        self._log.warning("%s; again in %.1f s", what, found.wait)
        if found.told:
            self._gate.pace.refused(now, found.wait, tokens)
            return
        await asyncio.sleep(max(0.0, min(found.wait, end - now)))

    def _since(self, job: _Job) -> float:
        return job.began if self._went_well is None else max(job.began, self._went_well)

    def _check_refusal(self, job: _Job) -> None:
        """Send nothing of what would be refused like others a moment ago."""
        if self._refusal is None:
            return
        at, version, problem = self._refusal
        if version != self._key.version and not isinstance(problem, SettingsError):
            self._refusal = None
        elif job.began <= at + HOLD:
            raise from_dict(problem.to_dict())

    def _expected(self) -> int | None:
        return getattr(self, "_dimension", None)

    def _tell_wait(self, until: float | None) -> None:
        # A request now and then waits its turn for a moment; that is nobody's news.
        told = until is not None and self._gate.pace.not_before > time.monotonic() + 1
        self._waits(self._gate.pace.not_before if told else None)

    # -- the length of vectors ----------------------------------------------------------------

    def _find_dimension(self, wanted: int | None) -> int:
        own = DIMENSIONS.get(self._model)
        if own is None:
            # A server of one's own: one text tells, and costs nothing.
            job = _Job(True, time.monotonic())
            rows = self._wait(self._all(job, [["a"]], [[0]], [Piece(0, 0, 1)]), lambda: None)
            return int(rows[0].shape[1])
        if wanted is None or wanted == own:
            self._sender.shorten = wanted if self._model.startswith(SHORTENED) else None
            return own
        if not self._model.startswith(SHORTENED) or wanted > own:
            raise SettingsError(
                f"THOTH_OPENAI_DIMENSIONS is {wanted}, and {self._model} gives {own}",
                cause="text-embedding-3-small and -large can give fewer, others cannot",
                fix="unset THOTH_OPENAI_DIMENSIONS",
            )
        return wanted


def groups_of(tokens: Sequence[int], most: int, most_tokens: int = MOST_TOKENS) -> list[list[int]]:
    """Positions of ``tokens`` in requests, within the bounds of one."""
    groups: list[list[int]] = []
    left = 0
    for position, count in enumerate(tokens):
        if not groups or len(groups[-1]) >= most or count > left:
            groups.append([])
            left = most_tokens
        groups[-1].append(position)
        left -= count
    return groups


def load(
    options: Options,
    key: Secret,
    log: logging.Logger,
    waits: Callable[[float | None], None] = lambda until: None,
) -> OpenAIEngine:
    """The engine for ``openai/<name>``. A known model sends nothing here; of another one a single
    text is asked for, to know the length of its vectors.

    Raises :class:`MissingDependency` without the package, and :class:`SettingsError` for a length
    of vectors that the model does not have.
    """
    try:
        import openai  # noqa: F401
    except ImportError as problem:
        raise MissingDependency(
            "the package openai cannot be imported",
            cause=str(problem),
            fix="pip install 'thoth-core[service]'",
        ) from problem
    return OpenAIEngine(options, key, log, waits)
