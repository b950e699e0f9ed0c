"""Sentences of 18 to 25 tokens, as language models write them, for the benchmarks."""

from streamtts.client.tokens import tokens

SENTENCES = (
    "The train to the coast leaves from platform four at noon, so we still have time for coffee.",
    "If you turn left behind the old bakery, you will find the small museum next to the river.",
    "Most people forget to water the small plants near the window when the heating is on all day.",
    "She asked whether the meeting could be moved to Friday at nine, as her flight comes in late.",
    "There is a simple reason why the soup tastes better on the second day than on the first.",
    "The engine was quiet again once they had cleaned the filter and changed its old oil in May.",
    "You can pay with a card at the front desk, or leave the money in the box by the door.",
    "Nobody knew who had painted the wall blue, but the whole street seemed to like it a lot.",
    "When the storm was over, the children ran down to the beach to look for shells and wood.",
    "It took him three hours to write the letter, and only a minute to decide not to send it.",
    "The doctor said that a short walk after dinner would help more than any pill on the shelf.",
    "We kept the tickets in a drawer for years, until someone asked us where the show had been.",
)


def check():
    """Raises when a sentence is not of the length that the definition asks for."""
    for sentence in SENTENCES:
        if not 18 <= len(tokens(sentence)) <= 25:
            raise SystemExit(f"{len(tokens(sentence))} tokens: {sentence}")


def text(number):
    """Two sentences, others for every number."""
    first = SENTENCES[number % len(SENTENCES)]
    second = SENTENCES[(5 * number + 3) % len(SENTENCES)]
    return f"{first} {second}"


def of_length(number, chars):
    """Whole words, cut to that many characters or a few less, with a full stop."""
    joined = " ".join(SENTENCES[(number + at) % len(SENTENCES)] for at in range(chars // 80 + 2))
    return joined[: joined.rindex(" ", 0, chars)].rstrip(",.") + "."
