import json
import subprocess
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import pytest

from aegir_dspy.verifier.lexicon_build import build, main
from aegir_dspy.verifier.lexicons import LEXICONS, folded, lexicon

ASSET = resources.files("aegir_dspy.assets").joinpath("lexicons.json")


def test_names_and_codes_of_many_languages_are_known() -> None:
    known = {
        "countries": ("Deutschland", "Korea, Republic of", "Côte d'Ivoire", "UK", "Россия"),
        "country_codes": ("DE", "DEU", "EU"),
        "languages": ("Chichewa", "Deutsch", "日本語"),
        "language_codes": ("de", "ger", "deu"),
        "currencies": ("US Dollar", "Euro", "złoty"),
        "currency_codes": ("USD", "BTC", "EUR"),
        "months": ("März", "sept", "août"),
        "days": ("Mittwoch", "tues", "daily"),
        "subdivisions": ("Bayern", "Texas", "TX", "Île-de-France"),
        "units": ("kilometers", "km", "m²"),
    }
    assert set(known) == set(LEXICONS)
    for name, words in known.items():
        assert {folded(word) for word in words} <= lexicon(name), name
    assert "ant" not in lexicon("country_codes") and "" not in lexicon("countries")


def test_the_file_is_what_its_command_makes() -> None:
    made_with = json.loads(ASSET.read_text("utf-8"))[""]
    if f"Babel {version('babel')}," not in made_with:
        pytest.skip(f"another Babel than the file's: {made_with}")
    lists = {name: words.split(";") for name, words in json.loads(ASSET.read_text("utf-8")).items() if name}
    assert lists == build()


def test_the_command_writes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aegir_dspy.verifier.lexicon_build.build", lambda: {"days": ["", "lunes", "monday"]})
    main([str(tmp_path / "lists.json")])
    found = json.loads((tmp_path / "lists.json").read_text("utf-8"))
    assert found.pop("").startswith("Unicode CLDR") and found == {"days": ";lunes;monday"}


def test_babel_is_not_needed_to_look_words_up() -> None:
    code = "import sys; sys.modules['babel'] = None; from aegir_dspy.verifier.lexicons import *;"
    code += "print(all(lexicon(name) for name in LEXICONS))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
