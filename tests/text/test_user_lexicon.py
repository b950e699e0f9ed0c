from pathlib import Path

import pytest

from streamtts.errors import ConfigError
from streamtts.text.phonemes import Pronouncer, load_lexicon
from streamtts.text.user_lexicon import load_user_lexicon, parse_phones, user_words


def spell(phones: tuple[tuple[str, int], ...]) -> str:
    return " ".join(phone + (str(stress - 1) if stress else "") for phone, stress in phones)


def test_phones_are_read() -> None:
    assert parse_phones(" hh  ax l ow1 ") == (("hh", 0), ("ax", 1), ("l", 0), ("ow", 2))


def test_user_lexicon_overrides_everything(tmp_path: Path) -> None:
    path = tmp_path / "words.toml"
    path.write_text('[words]\nGruut = "g r uw1 t"\nread = "r eh1 d"\ntomato = "t ax m aa1 t ow0"\n')
    pronouncer = Pronouncer(load_lexicon(), load_user_lexicon(path))
    assert spell(pronouncer.pronounce("gruut")) == "g r uw1 t"
    assert spell(pronouncer.pronounce("Gruut's")) == "g r uw1 t s"
    assert spell(pronouncer.pronounce("gruuts")) == "g r uw1 t s"
    assert spell(pronouncer.pronounce("tomato")) == "t ax0 m aa1 t ow0"
    assert spell(pronouncer.pronounce("read", None, previous=["to"])) == "r eh1 d"
    assert not pronouncer.needs_next("read")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[words]\nhi = "hh ay1 qq"', ("'hi'", "'qq'", "hh")),
        ('[words]\nhi = "pau"', ("'hi'", "'pau'")),
        ('[words]\nhi = "hh1 ay1"', ("'hi'", "'hh1'")),
        ('[words]\nhi = "ay3"', ("'hi'", "'ay3'")),
        ('[words]\nhi = ""', ("'hi'", "no phones")),
        ("[words]\nhi = 3", ("'hi'", "must be one string")),
        ("words = 3", ("[words]",)),
        ("", ("[words]",)),
        ('[words]\nhi = "ay1"\n[more]\n', ("[words]",)),
        ("[words\n", ("TOML",)),
    ],
)
def test_bad_user_lexicon_is_named(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "words.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_user_lexicon(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for name in names:
        assert name in message


def test_missing_user_lexicon_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_user_lexicon(tmp_path / "nowhere.toml")


def test_words_of_a_voice_name_the_voice() -> None:
    assert user_words({"Rms": "aa1 r"}, source="voice rms") == {"rms": (("aa", 2), ("r", 0))}
    with pytest.raises(ConfigError, match="lexicon voice rms: word 'x': 'zz' is not a phone"):
        user_words({"x": "zz"}, source="voice rms")
