"""Words written alike and spoken differently, told apart by their neighbours.

A rule may look at the words before and at ONE word after. Only these words wait for the next
one, and only when what came before does not settle it (`needs_next`). Phones are written as in
`pronunciations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_DETERMINERS = frozenset(
    """the a an this that these those my your his her its our their some any no every each another
    such what which whose first second last next new old good bad great little full own same other
    more most much many of in for with from by on at""".split()
)
_VERB_LEADS = frozenset(
    """to will would can could shall should may might must cannot can't don't doesn't didn't
    won't wouldn't couldn't shouldn't i you we they who let's please i'll you'll he'll she'll it'll
    we'll they'll i'd you'd he'd she'd we'd they'd do does did help""".split()
)
# Looked through: "was also present" is "was present".
_ADVERBS = frozenset(
    "not also never always already just ever only often really then now again still".split()
)
_OBJECTS = frozenset(
    """the a an this that these those my your his her its our their it them him us me you
    everything something anything all both""".split()
)
_PERFECT = frozenset(
    """have has had was were been be being is are having i've you've we've they've he's she's it's
    he'd she'd i'd we'd they'd you'd haven't hasn't hadn't wasn't weren't isn't aren't he she
    widely well""".split()
)
_WAS = frozenset("was were be been being is are".split())
_SUBJECTS = frozenset("he she it who that nobody everyone everybody someone".split())

_Rule = Callable[[str, str], int | None]
# A rule is called as rule(previous, following) and answers with the index of a form; None means
# "the previous word does not settle it", which `following` == UNDECIDED asks about.
UNDECIDED = "?"


def _noun_or_verb(previous: str, following: str) -> int | None:
    if previous in _VERB_LEADS:
        return 1
    if previous in _DETERMINERS:
        return 0
    if following == UNDECIDED:
        return None
    return 1 if following in _OBJECTS else 0


def _verb_unless_determined(previous: str, following: str) -> int | None:
    """Verb (form 1) by default, noun behind a determiner."""
    return 0 if previous in _DETERMINERS else 1


def _read(previous: str, following: str) -> int | None:
    """Past behind "have", "was" and one person; present behind "to", "I", plurals, adverbs."""
    if previous in _PERFECT:
        return 1
    if previous in _VERB_LEADS | _DETERMINERS | {"", "and", "or", "but", "please", "people", "how"}:
        return 0
    return 0 if previous.endswith(("s", "ly")) else 1


def _tears(previous: str, following: str) -> int | None:
    return 1 if previous in _SUBJECTS else 0


def _lead(previous: str, following: str) -> int | None:
    if previous in _VERB_LEADS:
        return 0
    if following == UNDECIDED:
        return None
    metal = (
        "pipe pipes paint poisoning pencil pencils bullet bullets core acid shot free mine mines"
    )
    return 1 if following in metal.split() else 0


def _live(previous: str, following: str) -> int | None:
    if previous in ("go", "goes", "went", "going", "broadcast", "streamed", "streaming"):
        return 1
    if previous in _VERB_LEADS:
        return 0
    if following == UNDECIDED:
        return None
    shown = """music show shows concert concerts broadcast broadcasts stream streams streaming audio
    video performance performances audience tv television coverage event events wire wires update
    updates data chat demo version recording album animals ammunition bait"""
    return 1 if following in shown.split() else 0


def _lives(previous: str, following: str) -> int | None:
    if previous in _SUBJECTS:
        return 1
    if previous in _DETERMINERS or previous in _VERB_LEADS:
        return 0
    if following == UNDECIDED:
        return None
    return 1 if following in "in at with on here there alone near by under".split() else 0


def _turned(previous: str, following: str) -> int | None:
    """For "wind" and "wound": the turning verb before up, down, around, or behind "to"."""
    if previous in _DETERMINERS:
        return 0
    if previous in ("to", "will", "would", "can", "could", "must", "don't"):
        return 1
    if following == UNDECIDED:
        return None
    return 1 if following in ("up", "down", "around", "through", "its") else 0


def _wound(previous: str, following: str) -> int | None:
    if previous in _DETERMINERS or previous in _VERB_LEADS - {"i", "you", "we", "they", "who"}:
        return 0
    if following == UNDECIDED:
        return None
    return 1 if following in ("up", "down", "around", "through", "its") else 0


def _tear(previous: str, following: str) -> int | None:
    if previous in _VERB_LEADS:
        return 0
    if following == UNDECIDED:
        return None
    ripping = "down up apart off it the out along into them this through".split()
    eye = "gas drop drops duct ducts".split()
    if following in eye:
        return 1
    return 1 if previous in _DETERMINERS and following not in ripping else 0


def _close(previous: str, following: str) -> int | None:
    if previous in _VERB_LEADS:
        return 1
    if following == UNDECIDED:
        return None
    if previous == "the" and following == "of":
        return 1
    return 1 if following in _OBJECTS - {"all", "both"} else 0


def _use(previous: str, following: str) -> int | None:
    if previous in _DETERMINERS:
        return 0
    if previous in _VERB_LEADS:
        return 1
    if following == UNDECIDED:
        return None
    return 0 if following in ("of", "in", "for", "is", "was") else 1


def _used(previous: str, following: str) -> int | None:
    if previous in _WAS:
        return 0
    if following == UNDECIDED:
        return None
    return 1 if following == "to" else 0


def _content(previous: str, following: str) -> int | None:
    if previous in ("the", "this", "that", "your", "our", "its", "more", "of", "new"):
        return 0
    if previous in _WAS | {"am", "i'm", "perfectly", "quite", "not"}:
        return 1
    if following == UNDECIDED:
        return None
    return 1 if following in ("with", "to") else 0


def _resume(previous: str, following: str) -> int | None:
    return 0 if previous in ("my", "your", "his", "her", "their", "a", "the") else 1


_FORMS: dict[str, tuple[str, str, _Rule]] = {
    # noun or adjective first, verb second
    "record": ("r eh1 k er0 d", "r ih0 k ao1 r d", _noun_or_verb),
    "records": ("r eh1 k er0 d z", "r ih0 k ao1 r d z", _noun_or_verb),
    "object": ("aa1 b jh eh0 k t", "ax0 b jh eh1 k t", _noun_or_verb),
    "present": ("p r eh1 z ax0 n t", "p r ih0 z eh1 n t", _noun_or_verb),
    "presents": ("p r eh1 z ax0 n t s", "p r ih0 z eh1 n t s", _noun_or_verb),
    "subject": ("s ah1 b jh ih0 k t", "s ax0 b jh eh1 k t", _noun_or_verb),
    "project": ("p r aa1 jh eh0 k t", "p r ax0 jh eh1 k t", _noun_or_verb),
    "produce": ("p r ow1 d uw0 s", "p r ax0 d uw1 s", _verb_unless_determined),
    "permit": ("p er1 m ih0 t", "p er0 m ih1 t", _noun_or_verb),
    "conduct": ("k aa1 n d ah0 k t", "k ax0 n d ah1 k t", _noun_or_verb),
    "contract": ("k aa1 n t r ae2 k t", "k ax0 n t r ae1 k t", _noun_or_verb),
    "conflict": ("k aa1 n f l ih0 k t", "k ax0 n f l ih1 k t", _noun_or_verb),
    "contrast": ("k aa1 n t r ae0 s t", "k ax0 n t r ae1 s t", _noun_or_verb),
    "convict": ("k aa1 n v ih0 k t", "k ax0 n v ih1 k t", _noun_or_verb),
    "desert": ("d eh1 z er0 t", "d ih0 z er1 t", _noun_or_verb),
    "export": ("eh1 k s p ao0 r t", "ih0 k s p ao1 r t", _noun_or_verb),
    "import": ("ih1 m p ao0 r t", "ih0 m p ao1 r t", _noun_or_verb),
    "increase": ("ih1 ng k r iy0 s", "ih0 ng k r iy1 s", _noun_or_verb),
    "decrease": ("d iy1 k r iy2 s", "d ih0 k r iy1 s", _noun_or_verb),
    "insult": ("ih1 n s ah0 l t", "ih0 n s ah1 l t", _noun_or_verb),
    "protest": ("p r ow1 t eh0 s t", "p r ax0 t eh1 s t", _noun_or_verb),
    "rebel": ("r eh1 b ax0 l", "r ih0 b eh1 l", _noun_or_verb),
    "refuse": ("r eh1 f y uw2 z", "r ih0 f y uw1 z", _verb_unless_determined),
    "progress": ("p r aa1 g r eh0 s", "p r ax0 g r eh1 s", _noun_or_verb),
    "perfect": ("p er1 f eh0 k t", "p er0 f eh1 k t", _noun_or_verb),
    "transfer": ("t r ae1 n s f er0", "t r ae0 n s f er1", _noun_or_verb),
    "suspect": ("s ah1 s p eh2 k t", "s ax0 s p eh1 k t", _noun_or_verb),
    "separate": ("s eh1 p er0 ih0 t", "s eh1 p er0 ey2 t", _noun_or_verb),
    "estimate": ("eh1 s t ih0 m ih0 t", "eh1 s t ih0 m ey2 t", _noun_or_verb),
    "graduate": ("g r ae1 jh uw0 ih0 t", "g r ae1 jh uw0 ey2 t", _noun_or_verb),
    "alternate": ("ao1 l t er0 n ih0 t", "ao1 l t er0 n ey2 t", _noun_or_verb),
    "duplicate": ("d uw1 p l ih0 k ih0 t", "d uw1 p l ih0 k ey2 t", _noun_or_verb),
    "excuse": ("ih0 k s k y uw1 s", "ih0 k s k y uw1 z", _noun_or_verb),
    "abuse": ("ax0 b y uw1 s", "ax0 b y uw1 z", _noun_or_verb),
    "use": ("y uw1 s", "y uw1 z", _use),
    "uses": ("y uw1 s ih0 z", "y uw1 z ih0 z", _verb_unless_determined),
    "close": ("k l ow1 s", "k l ow1 z", _close),
    # others
    "read": ("r iy1 d", "r eh1 d", _read),
    "lead": ("l iy1 d", "l eh1 d", _lead),
    "live": ("l ih1 v", "l ay1 v", _live),
    "lives": ("l ay1 v z", "l ih1 v z", _lives),
    "wind": ("w ih1 n d", "w ay1 n d", _turned),
    "wound": ("w uw1 n d", "w aw1 n d", _wound),
    "tear": ("t eh1 r", "t ih1 r", _tear),
    "tears": ("t ih1 r z", "t eh1 r z", _tears),
    "used": ("y uw1 z d", "y uw1 s t", _used),
    "content": ("k aa1 n t eh0 n t", "k ax0 n t eh1 n t", _content),
    "resume": ("r eh1 z ax0 m ey2", "r ih0 z uw1 m", _resume),
}


def forms() -> dict[str, tuple[str, str]]:
    """Every homograph with its two pronunciations, the usual one first."""
    return {word: (first, second) for word, (first, second, _) in _FORMS.items()}


def needs_next(word: str, previous: Sequence[str]) -> bool:
    """Tells whether the pronunciation cannot be chosen before the next word is known.

    Args:
        word: lower-case word.
        previous: words before it in the sentence, the nearest last.
    """
    entry = _FORMS.get(word)
    return entry is not None and entry[2](_leading(previous), UNDECIDED) is None


def choose(word: str, previous: Sequence[str], next_word: str | None) -> str | None:
    """Picks a pronunciation by the neighbours.

    Args:
        word: lower-case word.
        previous: words before it in the sentence, the nearest last.
        next_word: the word that directly follows; None when a mark or the end follows.

    Returns:
        Phones with stress digits, or None when the word is not a homograph.
    """
    entry = _FORMS.get(word)
    if entry is None:
        return None
    first, second, rule = entry
    return second if rule(_leading(previous), (next_word or "").lower()) else first


def _leading(previous: Sequence[str]) -> str:
    """The nearest word before that is no adverb; "" when there is none."""
    return next((word.lower() for word in reversed(previous) if word not in _ADVERBS), "")
