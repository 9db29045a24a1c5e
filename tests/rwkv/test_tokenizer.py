from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegir_dspy.errors import ConstraintError, InputError
from aegir_dspy.rwkv.constraint import TokenTrie, choice_trie
from aegir_dspy.rwkv.tokenizer import tokenizer_named

NAMES = ["bytes", "world"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)


@pytest.fixture(scope="session", params=NAMES)
def tokenizer(request):
    if request.param == "world":
        pytest.importorskip("rwkv")
    return tokenizer_named(request.param)


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_text_survives(tokenizer, text):
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert b"".join(map(tokenizer.token_bytes, tokens)) == text.encode()
    assert all(0 < token < tokenizer.vocab for token in tokens)


def test_every_token_has_bytes(tokenizer):
    assert all(tokenizer.token_bytes(token) for token in range(1, tokenizer.vocab))
    assert tokenizer.token_bytes(tokenizer.vocab) == b"" == tokenizer.token_bytes(10**6)


def test_incomplete_characters_are_replaced(tokenizer):
    cut = [next(t for t in range(1, tokenizer.vocab) if tokenizer.token_bytes(t) == b"\xe2")]
    assert tokenizer.decode(cut) == "\ufffd"


def test_unknown_name():
    with pytest.raises(InputError, match=r"\['bytes', 'world'\]"):
        tokenizer_named("gpt2")


def leaves(node: TokenTrie, path: tuple[int, ...] = ()) -> dict[tuple[int, ...], list[int]]:
    found = {path: node.ends} if node.ends else {}
    for token, child in node.children.items():
        found |= leaves(child, (*path, token))
    return found


@settings(max_examples=60, deadline=None)
@given(choices=st.lists(TEXT.filter(lambda t: "\x1c" not in t), min_size=1, max_size=12))
def test_trie_holds_exactly_the_choices(tokenizer, choices):
    end = tokenizer.ends[:1]
    found = leaves(choice_trie(tokenizer, choices, end))
    assert {tokenizer.decode(path[:-1]) for path in found} == set(choices)
    assert sorted(i for ends in found.values() for i in ends) == list(range(len(choices)))
    assert not any(a != b and b[: len(a)] == a for a in found for b in found)  # an end is never passed


def test_trie_needs_choices_and_an_end_of_its_own(tokenizer):
    with pytest.raises(ConstraintError, match="found none"):
        choice_trie(tokenizer, [], [1])
    with pytest.raises(ConstraintError, match="found 'a b'"):
        choice_trie(tokenizer, ["a", "a b"], tokenizer.encode(" "))
