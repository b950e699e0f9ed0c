"""What the streams of a load run say: ordinary sentences, put together to a length in time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streamtts.errors import BadField

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_FEWEST_WORDS = 4  # of a text that has been cut

SENTENCES = (
    "The bus was late again, so we walked to the station and arrived just in time.",
    "My sister keeps three old bicycles in the shed and rides none of them.",
    "Please leave the parcel with the neighbour on the second floor.",
    "It rained all night, and in the morning the garden was full of snails.",
    "He asked for the bill before anyone had finished eating.",
    "The new bakery on the corner opens at six and is empty by noon.",
    "I cannot remember where I put the key to the garage.",
    "They painted the kitchen a pale green and left the hall as it was.",
    "If you turn left at the bridge, you will see the mill on your right.",
    "Nobody told her that the meeting had moved to Thursday.",
    "The dog slept through the thunder and woke when somebody opened the fridge.",
    "We could take the early train and be home before dark.",
    "A cold wind came down from the hills and shook the windows.",
    "Her first novel sold very few copies, but people still talk about it.",
    "Would you mind holding this ladder while I look at the gutter?",
    "The library closes at eight on weekdays and at four on Saturdays.",
    "He learned to swim at fifty and has not missed a morning since.",
    "Somebody has to tell the children that the trip is cancelled.",
    "The soup needs salt, a little lemon, and another ten minutes.",
    "There were more chairs than guests, which nobody seemed to mind.",
    "After the second cup of coffee she began to enjoy the work.",
    "The old clock in the hall runs four minutes slow every week.",
    "You should write down the number in case your phone runs out.",
    "Our train stood outside the town for an hour without any reason given.",
    "The shop sells rope, paint, candles, and very good cheese.",
    "I have never seen so many stars as on that island.",
    "When the lights went out, the whole street fell silent for a moment.",
    "Bring a warm coat, because the evenings are colder than you think.",
    "The engine makes a strange noise whenever the road goes uphill.",
    "She speaks four languages and is shy in every one of them.",
    "Most of the letters were never answered, and some were never opened.",
    "What did the doctor say about your knee?",
    "The river is so low this summer that you can cross it on foot.",
    "He put the book back on the wrong shelf, as he always does.",
    "They have promised to repair the lift by the end of the month.",
    "A small boat came round the point with its sail half down.",
    "It takes about an hour to climb to the top and half of that to come back.",
    "The teacher waited until the room was quiet and then began to read.",
    "We ran out of milk, so there will be no pancakes today.",
    "Her brother drives a taxi at night and studies law in the daytime.",
    "The map was printed before the road was built.",
    "Could you say that again a little more slowly?",
    "On Sundays the square is full of people who sell things they do not need.",
    "The cat prefers the old sofa to every bed we have bought for it.",
    "By the time the fire brigade came, the neighbours had put it out.",
    "He counts the stairs whenever he goes down to the cellar.",
    "The museum has one room for paintings and nine for stamps.",
    "Take the second pill only if the first one does not help.",
    "They moved to the coast because of the light, and stayed for the fish.",
    "I would rather walk in the rain than wait for another bus.",
    "The grass on the other side of the fence really is greener.",
    "She found the ring in the pocket of a coat that she had given away.",
    "Every spring the same pair of swallows comes back to our barn.",
    "The film was long, but none of us looked at the time.",
    "Please speak after the tone, and do not forget to leave your name.",
    "His handwriting is so small that he saves a page on every letter.",
    "We were told to expect snow and woke up to bright sunshine.",
    "The best apples grow on the tree that nobody looks after.",
    "A good knife and a heavy pan are all you need to begin with.",
    "The last ferry leaves at ten, and it does not wait for anyone.",
    "Her grandmother taught her to play chess and never let her win.",
    "Behind the school there is a path that leads straight to the lake.",
    "He wanted to apologise, but the right words came a day too late.",
    "The tomatoes were cheap because half of them were still green.",
    "Do you think that we should paint the door before the winter?",
    "When you are ready, press the button and wait for the green light.",
)


def load(path: str) -> tuple[str, ...]:
    """Reads a file with one sentence a line; empty lines and those that begin with # are left out.

    Raises:
        BadField: it cannot be read, or holds no sentence.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadField(f"sentences: cannot read {path}: {error}") from None
    found = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not found:
        raise BadField(f"sentences: there is none in {path}; write one a line")
    return found


def of_length(rng: random.Random, sentences: Sequence[str], chars: float) -> str:
    """Sentences in a random order, as many as come nearest to a number of characters."""
    picked = rng.choice(sentences)
    while True:
        longer = f"{picked} {rng.choice(sentences)}"
        if abs(len(longer) - chars) >= abs(len(picked) - chars):
            return picked
        picked = longer


def rest_of(text: str, share: float) -> str:
    """The last part of a text, by words: what is left of a stream that has been on for a while."""
    words = text.split()
    keep = max(min(_FEWEST_WORDS, len(words)), round(share * len(words)))
    return " ".join(words[len(words) - keep :])
