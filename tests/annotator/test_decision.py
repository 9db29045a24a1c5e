"""From opinions to a decision: weights, gates, themes, company, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from aegir_dspy.annotator.decision import Agreement, DecisionConfig, Decisions, decide, pool

LABELS, THEMES = ("a", "b", "c", "d"), ("theme:Book", "theme:Event")
seeds, counts = st.integers(0, 10_000), st.integers(1, 12)


def opinions(seed: int, count: int, width: int = len(LABELS)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64).mul(2).log_softmax(1)


def said(seed: int, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Labels and themes of three members."""
    labels = {name: opinions(seed + i, count) for i, name in enumerate(("primary", "ngrams", "places"))}
    themes = {
        name: opinions(seed + 5 + i, count, len(THEMES)) for i, name in enumerate(("primary", "ngrams"))
    }
    return labels, themes


def agreement(seed: int = 0) -> Agreement:
    return Agreement(THEMES, LABELS, opinions(seed, len(THEMES)), opinions(seed + 1, len(LABELS)))


FIRST = DecisionConfig({"primary": 0.8, "ngrams": 1.5}, {"primary": 0.7, "ngrams": 0.4}, 0.6, 0.3, 0.4, 1.2)
FULL = replace(FIRST, opinions={**FIRST.opinions, "places": 0.5}, domains={"places": ("theme:Book",)})
DECISIONS = Decisions(FIRST, FULL)


def asked(count: int, every: bool = True) -> Tensor:
    return torch.full((count,), every)


@given(seeds, counts)
def test_without_agreement_a_decision_is_the_weighted_opinions(seed: int, count: int) -> None:
    labels, themes = said(seed, count)
    expected = (0.8 * labels["primary"] + 1.5 * labels["ngrams"]) / 1.2
    found = decide(labels, themes, DECISIONS, None, asked(count, False))
    torch.testing.assert_close(found, expected.log_softmax(1))
    with_member = expected + 0.5 * labels["places"] / 1.2
    found = decide(labels, themes, DECISIONS, None, asked(count))
    torch.testing.assert_close(found, with_member.log_softmax(1))


@given(seeds, counts)
def test_decisions_are_probabilities(seed: int, count: int) -> None:
    found = decide(*said(seed, count), DECISIONS, agreement(seed), asked(count))
    torch.testing.assert_close(found.exp().sum(1), torch.ones(count, dtype=torch.float64))


def test_members_without_a_weight_are_left_out() -> None:
    one, other = opinions(0, 3), opinions(1, 3)
    config = DecisionConfig({"primary": 2.0, "absent": 9.0})
    torch.testing.assert_close(pool({"primary": one, "other": other}, config, {}), 2 * one)


def test_gates_scale_one_member_only() -> None:
    one, other = opinions(0, 3), opinions(1, 3)
    config = DecisionConfig({"primary": 2.0, "places": 3.0})
    found = pool({"primary": one, "places": other}, config, {"places": torch.tensor(0.25)})
    torch.testing.assert_close(found, 2 * one + 0.75 * other)


def test_a_specialist_is_heard_as_far_as_the_table_is_of_its_domain() -> None:
    labels, _ = said(3, 4)
    config = DecisionConfig({"primary": 1.0, "places": 2.0}, {"primary": 1.0}, domains={"places": THEMES[:1]})
    nothing = Agreement(THEMES, LABELS, torch.zeros(2, 4).double(), torch.zeros(4, 4).double())
    for book in (0.999999, 0.6, 0.000001):
        themes = {"primary": torch.tensor([[book, 1 - book]] * 4).double().log()}
        found = decide(labels, themes, Decisions(config, config), nothing, asked(4))
        expected = (labels["primary"] + 2 * book * labels["places"]).log_softmax(1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_theme_of_a_table_moves_a_label() -> None:
    affinity = torch.tensor([[2.0, -2.0, 0.0, 0.0], [-2.0, 2.0, 0.0, 0.0]]).double()
    known = Agreement(THEMES, LABELS, affinity, torch.zeros(4, 4).double())
    unsure = {"primary": torch.tensor([[0.4, 0.4, 0.1, 0.1]]).double().log()}
    config = DecisionConfig(themes={"primary": 1.0}, theme=1.0)
    best = []
    for book in (0.99, 0.01):
        themes = {"primary": torch.tensor([[book, 1 - book]]).double().log()}
        found = decide(unsure, themes, Decisions(config, config), known, asked(1))
        best.append(LABELS[int(found.argmax())])
    assert best == ["a", "b"]


def test_the_columns_tell_the_theme_where_nobody_else_does() -> None:
    affinity = torch.tensor([[2.0, -2.0, 3.0, -3.0], [-2.0, 2.0, -3.0, 3.0]]).double()
    known = Agreement(THEMES, LABELS, affinity, torch.zeros(4, 4).double())
    config = DecisionConfig(theme=1.0, evidence=1.0)
    best = []
    for sure in ([0.01, 0.01, 0.97, 0.01], [0.01, 0.01, 0.01, 0.97]):
        labels = {"primary": torch.tensor([[0.45, 0.45, 0.05, 0.05], sure]).double().log()}
        found = decide(labels, {}, Decisions(config, config), known, asked(2))
        best.append(LABELS[int(found[0].argmax())])
    assert best == ["a", "b"]


def test_company_knows_left_from_right() -> None:
    company = torch.zeros(4, 4).double()
    company[2, 0], company[1, 2] = 3.0, 3.0  # a stands to the right of c, b to its left
    known = Agreement((), LABELS, torch.zeros(0, 4).double(), company)
    unsure, sure = [0.45, 0.45, 0.05, 0.05], [0.01, 0.01, 0.97, 0.01]
    config = DecisionConfig(company=1.0)
    for rows, place, expected in (([sure, unsure], 1, "a"), ([unsure, sure], 0, "b")):
        found = decide(
            {"primary": torch.tensor(rows).double().log()}, {}, Decisions(config, config), known, asked(2)
        )
        assert LABELS[int(found[place].argmax())] == expected


def test_company_counts_as_that_of_eight_columns_at_most() -> None:
    known = Agreement((), LABELS, torch.zeros(0, 4).double(), opinions(2, 4))
    config = DecisionConfig(company=1.0)
    sizes = {}
    for count in (1, 5, 9, 31):
        labels = {"primary": opinions(0, 1).repeat(count, 1)}
        found = decide(labels, {}, Decisions(config, config), known, asked(count))
        sizes[count] = float((found - labels["primary"])[0].diff().abs().sum())
    assert sizes[1] == pytest.approx(0, abs=1e-12)
    assert 2 * sizes[5] == pytest.approx(sizes[9])
    assert sizes[31] == pytest.approx(sizes[9])


@given(seeds, counts, st.randoms(use_true_random=False))
def test_without_company_the_order_of_columns_does_not_matter(seed: int, count: int, random) -> None:
    decisions = Decisions(replace(FIRST, company=0.0), replace(FULL, company=0.0))
    order = list(range(count))
    random.shuffle(order)
    labels, themes = said(seed, count)
    some = torch.tensor([(seed + i) % 3 == 0 for i in range(count)])
    whole = decide(labels, themes, decisions, agreement(seed), some)
    permuted = decide(
        {name: x[order] for name, x in labels.items()},
        {name: x[order] for name, x in themes.items()},
        decisions,
        agreement(seed),
        some[order],
    )
    torch.testing.assert_close(permuted, whole[order])


@given(seeds, counts)
def test_a_mirrored_table_with_mirrored_company_is_decided_alike(seed: int, count: int) -> None:
    labels, themes = said(seed, count)
    known = agreement(seed)
    turned = replace(known, company=known.company.T)
    whole = decide(labels, themes, DECISIONS, known, asked(count))
    mirrored = decide(
        {name: x.flip(0) for name, x in labels.items()},
        {name: x.flip(0) for name, x in themes.items()},
        DECISIONS,
        turned,
        asked(count),
    )
    torch.testing.assert_close(mirrored, whole.flip(0))


@given(seeds, counts)
def test_where_nobody_was_asked_the_members_do_not_matter(seed: int, count: int) -> None:
    labels, themes = said(seed, count)
    other = {**labels, "places": opinions(seed + 99, count)}
    whole = decide(labels, themes, DECISIONS, agreement(seed), asked(count, False))
    assert torch.equal(decide(other, themes, DECISIONS, agreement(seed), asked(count, False)), whole)


def test_agreement_on_other_labels_keeps_what_it_knows() -> None:
    known = agreement()
    on = known.on(("d", "new", "a"), THEMES[::-1])
    assert (on.labels, on.themes) == (("d", "new", "a"), THEMES[::-1])
    assert torch.equal(on.affinity[:, [0, 2]], known.affinity[[1, 0]][:, [3, 0]])
    assert torch.equal(on.company[[0, 2]][:, [0, 2]], known.company[[3, 0]][:, [3, 0]])
    assert not on.affinity[:, 1].any() and not on.company[1].any() and not on.company[:, 1].any()


def test_agreement_knows_nothing_of_themes_it_has_not_counted() -> None:
    known = agreement()
    on = known.on(LABELS, ("theme:Hotel", "theme:Event"))
    assert not on.affinity[0].any()
    assert torch.equal(on.affinity[1], known.affinity[1])


def test_decisions_survive_json() -> None:
    from dataclasses import asdict
    from json import dumps, loads

    again = Decisions.from_json(loads(dumps(asdict(DECISIONS))))
    labels, themes = said(1, 5)
    whole = decide(labels, themes, DECISIONS, agreement(), asked(5))
    assert torch.equal(decide(labels, themes, again, agreement(), asked(5)), whole)
    assert loads(dumps(asdict(again))) == loads(dumps(asdict(DECISIONS)))
