"""An answer: what is near the question is looked up as by ``query``, and a chat server is asked.

The service takes no part in the second half: the key is this process's own, and so is the
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from thoth_core.asking import threshold
from thoth_core.asking.citations import resolved
from thoth_core.asking.prompt import Prompt, build, numbered
from thoth_core.asking.ready import check_ready
from thoth_core.asking.results import NOT_HERE, Answer, Citation
from thoth_core.client.arguments import Where
from thoth_core.client.calls import Calls
from thoth_core.client.connection import Connection
from thoth_core.client.transfer import Transfer
from thoth_core.encoding import load_encoding
from thoth_core.errors import InvalidInput
from thoth_core.plain_values import shown

if TYPE_CHECKING:
    from thoth_core.asking.chat import Reply
    from thoth_core.asking.talk import Post, Talk
    from thoth_core.settings import Settings

#: Counts the prompt, whatever model reads it: its own tokenizer may not be here.
_ENCODING = "cl100k_base"


class Ask(Transfer):
    """One question; used once. ``on_token`` is told each piece of the answer and ``note`` why it
    takes longer, both in the thread that runs it."""

    def __init__(
        self,
        connection: Connection,
        calls: Calls,
        settings: Settings,
        on_token: Callable[[str], None] | None,
        note: Callable[[str], object] | None,
    ) -> None:
        super().__init__(connection, None)
        self._calls = calls
        self._settings = settings
        self._on_token = on_token
        self._note = note
        self._talk: Talk[Reply] | None = None

    def cancel(self) -> None:
        super().cancel()
        if self._talk is not None:
            self._talk.cancel()

    def run(
        self,
        question: str,
        k: int | None,
        where: Where,
        collection: str | None,
        model: str | None,
        always_ask: bool,
        deadline: float | None,
        narrow: Mapping[str, Any],
    ) -> Answer:
        """Look up, judge, ask."""
        self._begin(deadline)
        _check(question, model)
        check_ready(self._settings)
        plan = self._calls.query([question], k, where, None, None, collection, narrow)
        passages = numbered(self._ask(plan)[0])
        least = threshold.threshold_for(
            self._embedded_with(collection), self._settings.ask_threshold
        )
        scores = [passage.score for passage in passages]
        if not always_ask and not threshold.near_enough(scores, least):
            return Answer(
                question, NOT_HERE, False, passages=tuple(passages), usage=_NONE, threshold=least
            )
        return self._asked(question, passages, model, least)

    def _embedded_with(self, collection: str | None) -> str | None:
        """The name of the model that the scores are of."""
        if self._settings.ask_threshold != threshold.AUTO:
            return None
        named = self._calls.asked_model.get("model")
        if named is not None:
            return str(named)
        name = self._calls.collection_name(collection)
        there = self._ask(self._calls.collections())
        return next((each.model for each in there if each.name == name), None)

    def _asked(
        self, question: str, passages: list[Citation], model: str | None, least: float | None
    ) -> Answer:
        prompt = build(
            question,
            passages,
            context=self._settings.ask_context,
            answer=self._settings.qa_max_tokens,
            tokens=lambda: load_encoding(_ENCODING),
        )
        # What talks is loaded for those questions alone that are asked.
        from thoth_core.asking.talk import Talk

        self._talk = talk = Talk(lambda post: self._conversation(prompt, model, post))
        # It may have been cancelled while there was nothing to tell that.
        self._check()
        reply = talk.run(self._end)
        return Answer(
            question=question,
            answer=reply.text,
            found=True,
            citations=resolved(reply.cited, prompt.passages),
            dropped_citations=reply.dropped,
            passages=prompt.passages,
            left_out=prompt.left_out,
            model=reply.model,
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            threshold=least,
        )

    async def _conversation(self, prompt: Prompt, model: str | None, post: Post) -> Reply:
        from thoth_core.asking.chat import Chat

        show, note = _posting(post, self._on_token), _posting(post, self._note)
        return await Chat(self._settings, model, show, note).answer(prompt)


_NONE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def _posting(post: Post, call: Callable[[str], object] | None) -> Callable[[str], None] | None:
    return None if call is None else lambda text: post(partial(call, text))


def _check(question: object, model: object) -> None:
    if not isinstance(question, str) or not question.strip():
        raise InvalidInput(
            f"the question is {shown(question)}", cause="it is a text that is not blank"
        )
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise InvalidInput(
            f"model is {shown(model)}", cause="it is the name of a chat model, or None"
        )
