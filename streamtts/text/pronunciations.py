"""Words whose sound in running speech is not what a dictionary lists first.

Phones are written as in a user lexicon: names of `symbols.PHONES`, vowels with a stress digit
(0 unstressed, 1 primary, 2 secondary). The voice is trained on these choices: changing one
changes what the acoustic model was taught, so they are frozen with `symbols.SYMBOLS_VERSION`.
"""

from __future__ import annotations

# Articles, prepositions, pronouns, auxiliaries, conjunctions: the "function" weight.
FUNCTION_WORDS = frozenset(
    """
    a an the
    about above across after against along among amongst around as at before behind below beneath
    beside besides between beyond by despite down during except for from in inside into like near
    of off on onto out outside over past per since than through throughout till to toward towards
    under underneath until unto up upon via with within without
    i me my mine myself you your yours yourself yourselves he him his himself she her hers herself
    it its itself we us our ours ourselves they them their theirs themselves one's
    this that these those who whom whose which what
    am is are was were be been being have has had having do does did can could will would shall
    should may might must ought
    and but or nor so yet if then because although though unless while whereas whether when where
    as there
    i'm i've i'll i'd you're you've you'll you'd he's he'll he'd she's she'll she'd it's it'll it'd
    we're we've we'll we'd they're they've they'll they'd that's there's who's what's
    isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't can't couldn't won't
    wouldn't shan't shouldn't mustn't needn't mightn't
    """.split()
)

# Chosen over the lexicon's own entries.
PRONUNCIATIONS: dict[str, str] = {
    "a": "ax0",
    "an": "ax0 n",
    "the": "dh ax0",
    "to": "t ax0",
    "of": "ax0 v",
    "and": "ae0 n d",
    "as": "ae0 z",
    "at": "ae0 t",
    "for": "f ao0 r",
    "or": "ao0 r",
    "nor": "n ao1 r",
    "than": "dh ae0 n",
    "was": "w ax0 z",
    "were": "w er0",
    "are": "aa0 r",
    "can": "k ae0 n",
    "has": "hh ae0 z",
    "them": "dh eh0 m",
    "that": "dh ae0 t",
    "your": "y ao0 r",
    "yours": "y ao1 r z",
    "you're": "y ao0 r",
    "our": "aw0 er0",
    "i'm": "ay1 m",
    "me": "m iy1",
    "when": "w eh1 n",
    "we're": "w iy1 r",
    "would've": "w uh1 d ax0 v",
    "should've": "sh uh1 d ax0 v",
    "ma'am": "m ae1 m",
    "y'all": "y ao1 l",
    "'em": "ax0 m",
    "'tis": "t ih1 z",
    "'twas": "t w ah1 z",
    "'cause": "k ao1 z",
    "'til": "t ih1 l",
    "gonna": "g ah1 n ax0",
    "new": "n uw1",
    "knew": "n uw1",
    "hello": "hh ax0 l ow1",
    "eighteen": "ey2 t iy1 n",
    "sixteen": "s ih2 k s t iy1 n",
    "kilometer": "k ax0 l aa1 m ih0 t er0",
    "kilometers": "k ax0 l aa1 m ih0 t er0 z",
    "kilometre": "k ax0 l aa1 m ih0 t er0",
    "kilometres": "k ax0 l aa1 m ih0 t er0 z",
    "email": "iy1 m ey2 l",
    "emails": "iy1 m ey2 l z",
    "yeah": "y eh1 ax0",
    "ai": "ey2 ay1",
    "api": "ey2 p iy2 ay1",
    "apis": "ey2 p iy2 ay1 z",
    "cpu": "s iy2 p iy2 y uw1",
    "gpu": "jh iy2 p iy2 y uw1",
    "usb": "y uw2 eh2 s b iy1",
    "url": "y uw2 aa2 r eh1 l",
    "urls": "y uw2 aa2 r eh1 l z",
    "tv": "t iy2 v iy1",
    "gpt": "jh iy2 p iy2 t iy1",
    "chatgpt": "ch ae1 t jh iy2 p iy2 t iy1",
    "openai": "ow2 p ax0 n ey2 ay1",
    "json": "jh ey1 s ax0 n",
    "github": "g ih1 t hh ah2 b",
    "airbnb": "eh2 r b iy2 ax0 n b iy1",
    "chatbot": "ch ae1 t b aa2 t",
    "chatbots": "ch ae1 t b aa2 t s",
    "signup": "s ay1 n ah2 p",
    "vlog": "v l ao1 g",
    "kyiv": "k iy1 v",
    "gnocchi": "n y ow1 k iy0",
    "hm": "hh ah1 m",
    "hmm": "hh ah1 m",
    "mhm": "m hh ah1 m",
    "shh": "sh ah1 sh",
    "soo": "s ow1",
}

# Before a punctuation mark nothing leans on the next word: the full form.
STRONG: dict[str, str] = {
    "a": "ey1",
    "the": "dh iy1",
    "to": "t uw1",
    "of": "ah1 v",
    "and": "ae1 n d",
    "at": "ae1 t",
    "for": "f ao1 r",
    "or": "ao1 r",
    "than": "dh ae1 n",
    "was": "w aa1 z",
    "were": "w er1",
    "are": "aa1 r",
    "can": "k ae1 n",
    "has": "hh ae1 z",
    "them": "dh eh1 m",
    "that": "dh ae1 t",
    "your": "y ao1 r",
    "our": "aw1 er0",
}

# Upper-case single letters are spelled; "a" aside, the lexicon's entry of the letter says how.
LETTERS: dict[str, str] = {
    "A": "ey1", "B": "b iy1", "C": "s iy1", "D": "d iy1", "E": "iy1", "F": "eh1 f", "G": "jh iy1",
    "H": "ey1 ch", "I": "ay1", "J": "jh ey1", "K": "k ey1", "L": "eh1 l", "M": "eh1 m",
    "N": "eh1 n", "O": "ow1", "P": "p iy1", "Q": "k y uw1", "R": "aa1 r", "S": "eh1 s",
    "T": "t iy1", "U": "y uw1", "V": "v iy1", "W": "d ah1 b ax0 l y uw2", "X": "eh1 k s",
    "Y": "w ay1", "Z": "z iy1",
}  # fmt: skip
