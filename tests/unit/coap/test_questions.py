"""The table of our own requests on one connection."""

from __future__ import annotations

import asyncio

from edgecache.adapters.coap.framing import Code, Frame
from edgecache.adapters.coap.questions import OURS, Questions, Unanswered


def answer(token: bytes) -> Frame:
    return Frame(Code.CONTENT, token, (), b"data")


def test_answers_find_their_questions() -> None:
    async def work() -> None:
        questions = Questions()
        (first, one), (second, two) = questions.ask(60), questions.ask(60)
        assert first != second
        assert first.startswith(OURS)
        assert questions.answered(answer(second))
        assert (one.done(), two.result()) == (False, answer(second))
        assert questions.answered(answer(second)), "a second answer is ours too, and dropped"
        questions.forget(first)
        assert questions.answered(answer(first)), "and so is a late one"
        assert not one.done()
        assert not questions.answered(answer(b"\x01")), "the library's"
        assert not questions.answered(answer(b"")), "the library's"
        assert not len(questions)

    asyncio.run(work())


def test_a_lost_connection_ends_all() -> None:
    async def work() -> None:
        questions = Questions()
        (_, one), (_, two) = questions.ask(60), questions.ask(60)
        two.cancel()
        questions.lost()
        assert one.result() is Unanswered.LOST
        assert not len(questions)

    asyncio.run(work())


def test_a_question_without_an_answer_ends_in_time() -> None:
    async def work() -> None:
        questions = Questions()
        (_, one), (answered, two) = questions.ask(0.001), questions.ask(0.001)
        questions.answered(answer(answered))
        assert await one is Unanswered.LATE
        assert two.result() == answer(answered)

    asyncio.run(work())


def test_numbers_begin_again_after_the_last() -> None:
    async def work() -> None:
        questions = Questions()
        questions._numbers = iter(range(256**3 - 1, 256**3 + 1))  # type: ignore[assignment]
        tokens = [questions.ask(60)[0] for _ in range(2)]
        assert tokens == [OURS + b"\xff\xff\xff", OURS + b"\0\0\0"]

    asyncio.run(work())
