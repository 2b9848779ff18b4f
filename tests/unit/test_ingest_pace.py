"""How large calls are, how far an ingest is, and how long it has to go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thoth_core.client.ingest_account import Account
from thoth_core.client.ingest_results import FileOutcome, IngestProgress
from thoth_core.client.pack_sizes import FIRST, SECONDS, PackSizes
from thoth_core.client.packs import File
from thoth_core.client.remaining import WINDOW, Rate
from thoth_core.errors import InvalidInput


def answer(sizes: PackSizes, rate: float, count: int) -> None:
    """``count`` calls, each full, at ``rate`` texts a second."""
    now = 0.0
    sizes.begun(now)
    for _ in range(count):
        now += sizes.texts / rate
        sizes.answered(sizes.texts, now)


@given(rate=st.floats(1, 1e6), count=st.integers(20, 60))
def test_a_call_takes_so_many_texts_as_are_done_in_two_seconds(rate: float, count: int) -> None:
    sizes = PackSizes(512)
    answer(sizes, rate, count)
    assert abs(sizes.texts - min(512, max(FIRST, rate * SECONDS))) <= 1


@given(
    steps=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 600), st.booleans())),
    most=st.integers(1, 600),
)
def test_no_answer_makes_a_call_too_large_or_too_small(
    steps: list[tuple[float, int, bool]], most: int
) -> None:
    sizes, now, before = PackSizes(most), 0.0, 0
    for seconds, texts, idle in steps:
        now += seconds
        before = sizes.texts
        if idle:
            sizes.begun(now)
        sizes.answered(texts, now)
        assert min(FIRST, most) <= sizes.texts <= min(most, 2 * before)


@given(rate=st.floats(0.1, 1e6), every=st.floats(0.01, 5), ahead=st.floats(1, 1e6))
def test_the_remaining_time_is_what_is_left_at_the_present_rate(
    rate: float, every: float, ahead: float
) -> None:
    seen, now = Rate(), 0.0
    # Before that it was ten times as fast: files that had not changed.
    while now < 3 * WINDOW:
        seen.note(10 * rate * now, now)
        now += every
    begun, done = now, 10 * rate * now
    while now < begun + 2 * WINDOW + every:
        now += every
        seen.note(done + rate * (now - begun), now)
    total = done + rate * (now - begun + ahead)
    left = seen.seconds_left(total)
    assert left is not None and abs(left - ahead) <= 0.001 * ahead + 0.01


def test_nobody_can_tell_how_long_it_takes_before_something_is_done() -> None:
    seen = Rate()
    assert seen.seconds_left(100) is None
    seen.note(0, 1.0)
    seen.note(0, 50.0)
    assert seen.seconds_left(100) is None and seen.per_second == 0.0


OUTCOMES = ("new", "changed", "moved", "unchanged", "overtaken", "failed", "bad", "unread")


@given(files=st.lists(st.tuples(st.sampled_from(OUTCOMES), st.integers(0, 5), st.integers(0, 99))))
def test_each_file_is_counted_once_and_the_bytes_add_up(
    files: list[tuple[str, int, int]],
) -> None:
    told: list[FileOutcome] = []
    seen: list[IngestProgress] = []
    account = Account(seen.append, told.append)
    account.files, account.bytes = len(files), sum(size for _, _, size in files)
    error = InvalidInput("no", cause="because")
    for at, (outcome, chunks, size) in enumerate(files):
        ids = [str(i) for i in range(chunks)]
        file = File(str(at), "h", outcome == "changed", ids, chunks, bytes=size)
        if outcome not in ("unchanged", "unread"):
            account.read += chunks
            account.stored_of_files(chunks, chunks * file.chunk_bytes)
        if outcome == "moved":
            file.moved_from = "old"
        match outcome:
            case "unchanged":
                account.unchanged(file.source, size)
            case "unread":
                account.failed(file.source, error, size)
            case "failed" | "bad":
                account.failed(file.source, error)
            case "overtaken":
                account.overtaken(file)
            case _:
                account.recorded(file)
        account.tell(float(at), 0, 0.0, 0)
    report = account.report
    assert [each.source for each in told] == [str(at) for at in range(len(files))]
    counts = [report.new, report.changed, report.moved, report.unchanged, len(report.failed)]
    assert sum(counts) == len(files)
    for outcome, count in zip(("new", "changed", "moved", "unchanged"), counts, strict=False):
        assert sum(1 for each in told if each.outcome == outcome) == count
    done = [at.bytes_done for at in seen]
    assert done == sorted(done) and all(d <= account.bytes for d in done)
    if seen:
        assert done[-1] == account.bytes and seen[-1].chunks_done == seen[-1].chunks
