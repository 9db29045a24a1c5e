from __future__ import annotations

import random

import pytest

from aegir_dspy.ontology import load_vocabulary
from aegir_dspy.ontology.registry import load_ontology
from aegir_dspy.ontology.wording import letters, stub

SAYS_SOMETHING = [
    "placed order",
    "A row of the table orders: a purchase with its customer and total amount.",
    "Bestellungen mit Kundennummer und Rechnungsbetrag",
    "numéro de téléphone du client",
    "przedsiębiorstwo i wszystkie zamówienia",
    "szolgáltatás megrendelés",
    "keskustelu yhteystiedot tilausnumero",
    "顧客の注文番号",
    "заказы клиентов",
    "MRN, NPI and CPT codes of a claim",
    "custordtot qtyshp invntry",
    "SKU",
    "the column is empty",
    "two types are as probable",
    "data type of a sensor",
    "bar association",
    "",
    "  ",
]
SAYS_NOTHING = [
    *(
        "TODO",
        "todo: define",
        "tbd",
        "foo",
        "Class1",
        "my class",
        "Thing",
        "the thing",
        "an entity",
        "type 2",
    ),
    *("n/a", "unknown", "-", "123", "???", "lorem ipsum dolor sit amet", "Placeholder text", "xxx"),
    *("order order order", "price amount price amount price amount price amount price"),
    "xqzv kjwq zzpt vbnx qwkj",
    "asdkjh qwlekj zxcmnb sdlfkj",
]


@pytest.mark.parametrize("text", SAYS_SOMETHING)
def test_real_words_pass(text: str) -> None:
    assert stub(text) == ""


@pytest.mark.parametrize("text", SAYS_NOTHING)
def test_stubs_do_not(text: str) -> None:
    assert stub(text) != ""


def test_the_ontologies_own_words_pass() -> None:
    refused = [
        term.name
        for name in ("schema", "dbpedia", "cco")
        for term in load_ontology(name)
        if term.description and stub(term.description)
    ]
    assert len(refused) <= 12, refused  # of about 6,000; "Data type: Text." says little indeed
    assert not [one.label for one in load_vocabulary("schema") if stub(one.description)]


def test_most_random_letters_are_no_words() -> None:
    rng = random.Random(0)
    texts = [
        " ".join("".join(chr(97 + int(rng.random() * 26)) for _ in range(6)) for _ in range(4))
        for _ in range(300)
    ]
    assert sum(letters().strange(text) for text in texts) / len(texts) > 0.93


def test_few_letters_and_other_scripts_are_not_judged() -> None:
    assert letters().surprise("xqz kjw") is None
    assert letters().surprise("顧客の注文番号、商品の価格と数量") is None


def test_long_texts_take_no_longer() -> None:
    assert stub("order " * 20_000) == "the same words again and again"
