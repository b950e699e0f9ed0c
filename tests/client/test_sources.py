import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts.client.terminal import chunks
from streamtts.client.tokens import paced, tokens


@given(st.text(alphabet="ab \n.,é", max_size=60))
def test_tokens_are_the_text(text):
    assert "".join(tokens(text)) == text


def test_long_words_are_cut_in_two():
    assert tokens("Speak, everything now.") == ["Speak,", " every", "thing", " now."]
    assert tokens("  seven77 letters") == ["  seven77", " letters"]
    assert tokens("") == []


def test_pieces_come_at_their_rate_and_do_not_drift():
    class Loop(asyncio.SelectorEventLoop):
        """Time passes only when everybody sleeps."""

        now = 0.0

        def time(self):
            return self.now

        def _run_once(self):
            if not self._ready and self._scheduled:
                self.now = self._scheduled[0].when()
            super()._run_once()

    async def main():
        loop = asyncio.get_running_loop()
        at = []
        async for number in paced(["a", "b", "c", "d"], 10):
            at.append((number, round(loop.time(), 6)))
            if number == "b":
                await asyncio.sleep(0.15)  # a slow listener
        return at

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == [("a", 0.0), ("b", 0.1), ("c", 0.25), ("d", 0.3)]


def test_input_is_read_as_it_comes_and_characters_are_not_torn():
    async def main():
        reading, writing = os.pipe()
        try:
            source = chunks(reading)
            os.write(writing, b"caf\xc3")
            assert await anext(source) == "caf"
            os.write(writing, b"\xa9 \xff")
            assert await anext(source) == "é \ufffd"
            os.write(writing, b"\xe2\x82")
            os.close(writing)
            assert [piece async for piece in source] == ["\ufffd"]
        finally:
            os.close(reading)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_input_that_is_closed_ends():
    async def main():
        reading, writing = os.pipe()
        os.close(writing)
        try:
            with pytest.raises(StopAsyncIteration):
                await anext(chunks(reading))
        finally:
            os.close(reading)

    asyncio.run(asyncio.wait_for(main(), 10))
