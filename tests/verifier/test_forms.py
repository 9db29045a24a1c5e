import random
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.training.generated import GENERATED, generate_column
from aegir_dspy.verifier.forms import FORMS, Form, Sieve
from aegir_dspy.verifier.lexicons import LEXICONS, lexicon
from aegir_dspy.verifier.national_numbers import NATIONAL, TAX, one_of, stdnum
from aegir_dspy.verifier.validators import VALIDATORS, passing, validate

_OTHERS = runpy.run_path(str(Path(__file__).with_name("test_validators.py")))
GOOD, BAD, ODD = (_OTHERS[name] for name in ("GOOD", "BAD", "ODD"))
SIGNS = "aZkKſK09é一٣²½ .,:;-_/\\+()[]{}<>@#$€%&*'\"!?|~=\t\n\x00\u200b\u00a0−–°º×xTPSs"
KNOWN = [*GOOD.values(), *BAD.values(), *(text[:256] for text in ODD)]


def asked_one_by_one(text: str) -> set[str]:
    return {name for name, check in VALIDATORS.items() if check(text)}


def test_every_validator_has_a_form() -> None:
    assert set(FORMS) == set(VALIDATORS)


@pytest.mark.parametrize("known", [KNOWN[i::4] for i in range(4)], ids=range(4))
def test_known_cells_pass_what_they_pass_one_by_one(known: list[str]) -> None:
    for text in filter(None, map(str.strip, known)):
        assert passing(text) == asked_one_by_one(text), text


@settings(max_examples=300, deadline=None)
@given(st.text(SIGNS, min_size=1, max_size=24) | st.text(min_size=1, max_size=12))
def test_no_form_contradicts_its_validator(text: str) -> None:
    text = text.strip() or "x"
    assert passing(text) == asked_one_by_one(text)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KNOWN), st.integers(0, 255), st.sampled_from(SIGNS), st.booleans())
def test_nor_on_cells_that_are_nearly_good(known: str, place: int, sign: str, instead: bool) -> None:
    text = (known[:place] + sign + known[place + instead :])[:256].strip() or "x"
    assert passing(text) == asked_one_by_one(text)


@pytest.mark.parametrize("part", range(4))
def test_nor_on_generated_cells_and_known_words(part: int) -> None:
    rng = random.Random(part)
    cells = [cell for label in GENERATED[part::4] for cell in generate_column(label, rng, 6)[1]]
    words = [word for name in LEXICONS for word in rng.sample(sorted(lexicon(name)), 6)]
    lists = [rng.choice((", ", " ", ";", " and ", "/")).join(rng.sample(words, 2)) for _ in range(40)]
    for text in filter(None, (cell[:256].strip() for cell in (*cells, *words, *lists))):
        assert passing(text) == asked_one_by_one(text), text


def test_a_form_spares_most_validators() -> None:
    sieve = Sieve(tuple(VALIDATORS))
    asked = [sieve.may_pass(text).bit_count() for text in GOOD.values()]
    assert sum(asked) < 0.5 * len(asked) * len(VALIDATORS)


def test_the_parts_of_a_form() -> None:
    forms = {"a": Form(("9", "@")), "b": Form(only="9."), "c": Form(never=" ", least=3), "d": Form(last="a")}
    sieve = Sieve(("a", "b", "c", "d", "e"), forms)
    found = {text: f"{sieve.may_pass(text):05b}"[::-1] for text in ("9@", "1.5", "a b", "xyz")}
    assert found == {"9@": "10001", "1.5": "01101", "a b": "00011", "xyz": "00111"}


@pytest.mark.parametrize("modules", [NATIONAL, TAX], ids=["national", "tax"])
def test_shapes_of_national_numbers_spare_no_module_that_would_say_yes(
    modules: dict[str, tuple[str, str]],
) -> None:
    rng, check = random.Random(3), one_of(modules)
    forms = [shape for shape, _ in modules.values()]
    valid = 0
    for _ in range(4000):
        text = _filled(rng.choice(forms), rng)
        if rng.random() < 0.3:
            at = rng.randrange(1, len(text))
            text = text[:at] + rng.choice(" -./+") + text[at:]
        expected = any(stdnum(name).is_valid(text) for name in modules)
        assert check(text) == expected, text
        valid += expected
    assert valid > 100


def _filled(shape: str, rng: random.Random) -> str:
    """A text of a shape; what is optional is left out or repeated."""
    plain = shape.partition("|")[0].replace("(?:", "").replace("[9A]", "9").replace(")?", "").replace(")", "")
    text, at = "", 0
    while at < len(plain):
        sign, times, at = plain[at], 1, at + 1
        if plain[at : at + 1] == "{":
            end = plain.index("}", at)
            times, at = int(plain[at + 1 : end].split(",")[-1]), end + 1
        elif plain[at : at + 1] in ("?", "*"):
            times, at = rng.choice((0, 1)), at + 1
        text += "".join(rng.choice("0123456789" if sign == "9" else "ABCKLX") for _ in range(times))
    return text


def test_a_null_says_nothing_and_an_empty_text_passes_what_it_passes() -> None:
    assert validate("text", "NULL") is None
    assert passing("") == asked_one_by_one("")
