"""Sentences that prose lacks: digits, letters, names, replies of one word, questions, lists."""

from __future__ import annotations

import random

_NAMES = (
    "Alice Bob Carlos Diana Edward Fatima George Hannah Igor Julia Kevin Linda Mohammed Nina Oscar "
    "Priya Quentin Rosa Stefan Teresa Umar Victoria William Xenia Yusuf Zoe Smith Johnson Garcia "
    "Miller Lopez Wilson Nguyen Kowalski Schmidt Rossi Tanaka Okafor Andersson Murphy"
).split()
_PLACES = (
    "Paris London Berlin Tokyo Madrid Chicago Boston Denver Oslo Vienna Cairo Lima Seoul Dublin "
    "Toronto Sydney Prague Athens Houston Nairobi"
).split()
_THINGS = (
    "apples bread milk coffee rice butter onions soap paper batteries lamps chairs tickets books "
    "keys windows letters flowers candles oranges eggs cheese salt pepper"
).split()
_ROOMS = "kitchen bedroom garage hallway bathroom garden office cellar attic porch".split()
_REPLIES = (
    "Yes. No. Okay. Sure! Thanks. Hello! Goodbye. Maybe. Great! Sorry? Really? Right. Done. Stop. "
    "Exactly. Absolutely! Certainly. Perhaps. Never. Always. Now? Why? Where? When? Who? How? "
    "Good morning! Of course. Not yet. Thank you. You're welcome. I see. Let me check. One moment. "
    "Just a second. No problem. Sounds good! I don't know. Not at all. See you later."
).split(". ")
_DEVICES = "light lamp heater fan television radio alarm timer speaker camera door blind".split()
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_MONTHS = (
    "January February March April May June July August September October November December"
).split()


def generate(count: int, seed: int) -> list[str]:
    """Sentences made from templates.

    Args:
        count: how many.
        seed: same seed, same sentences.

    Returns:
        `count` sentences; short ones may occur more than once.
    """
    rng = random.Random(seed)
    makers = (_digits, _letters, _names, _reply, _question, _list, _house, _date, _words)
    return [makers[i % len(makers)](rng) for i in range(count)]


def _digits(rng: random.Random) -> str:
    number = rng.choice((rng.randrange(10), rng.randrange(100), rng.randrange(10000)))
    return rng.choice(
        (
            f"{number}.",
            f"The number is {number}.",
            f"It costs {number} dollars and {rng.randrange(2, 100)} cents.",
            " ".join(str(rng.randrange(10)) for _ in range(rng.randrange(3, 10))) + ".",
            f"Call {rng.randrange(200, 999)}-{rng.randrange(200, 999)}-"
            f"{rng.randrange(1000, 9999)}.",
            f"{rng.randrange(2, 99)} percent of {rng.randrange(100, 9999)}.",
            f"It is {rng.randrange(-20, 40)} degrees outside.",
        )
    )


def _letters(rng: random.Random) -> str:
    letters = [rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randrange(1, 7))]
    return rng.choice((", ".join(letters) + ".", "The code is " + " ".join(letters) + "."))


def _names(rng: random.Random) -> str:
    a, b = rng.sample(_NAMES, 2)
    return rng.choice(
        (
            f"{a} {b} is calling from {rng.choice(_PLACES)}.",
            f"My name is {a}, and this is {b}.",
            f"Hello {a}, how are you today?",
            f"{a}, {b} and {rng.choice(_NAMES)} live in {rng.choice(_PLACES)}.",
            f"{a}?",
        )
    )


def _reply(rng: random.Random) -> str:
    reply = rng.choice(_REPLIES)
    return reply if reply[-1] in ".?!" else reply + "."


def _question(rng: random.Random) -> str:
    return rng.choice(
        (
            f"Would you like {rng.choice(_THINGS)} or {rng.choice(_THINGS)}?",
            f"Where did {rng.choice(_NAMES)} put the {rng.choice(_THINGS)}?",
            f"Is the {rng.choice(_DEVICES)} in the {rng.choice(_ROOMS)} still on?",
            f"What time does the train to {rng.choice(_PLACES)} leave?",
            f"Can you tell me more about {rng.choice(_PLACES)}?",
            f"How many {rng.choice(_THINGS)} do we need?",
        )
    )


def _list(rng: random.Random) -> str:
    things = rng.sample(_THINGS, rng.randrange(3, 6))
    return f"{things[0].capitalize()}, {', '.join(things[1:-1])} and {things[-1]}."


def _house(rng: random.Random) -> str:
    device, room = rng.choice(_DEVICES), rng.choice(_ROOMS)
    return rng.choice(
        (
            f"I have turned on the {device} in the {room}.",
            f"The {device} in the {room} is off.",
            f"Okay, setting a timer for {rng.randrange(2, 60)} minutes.",
            f"Sorry, I could not find the {device} in the {room}.",
            f"The {room} is at {rng.randrange(12, 30)} degrees.",
        )
    )


def _date(rng: random.Random) -> str:
    day, month = rng.choice(_DAYS), rng.choice(_MONTHS)
    return rng.choice(
        (
            f"See you on {day}, {month} {rng.randrange(1, 31)}.",
            f"It is {rng.randrange(1, 13)}:{rng.randrange(10, 60)} on {day}.",
            f"She was born in {month} {rng.randrange(1900, 2025)}.",
            f"The shop opens at {rng.randrange(6, 11)} on {day}.",
        )
    )


def _words(rng: random.Random) -> str:
    pool = _THINGS + _ROOMS + _DEVICES + [d.lower() for d in _ROOMS]
    if rng.random() < 0.3:
        return f"{rng.choice(pool).capitalize()}."
    if rng.random() < 0.3:
        word = rng.choice(pool)
        return " ".join([word] * rng.randrange(2, 9)).capitalize() + "."
    return " ".join(rng.sample(pool, rng.randrange(2, 5))).capitalize() + "."
