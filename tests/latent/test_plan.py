from __future__ import annotations

from pathlib import Path

import torch

from aegir_dspy.annotator.bundle import Bundle
from aegir_dspy.latent import FrozenSpecialist, StateStore, choose_reading, read_in_context

PIECES = [b"price\x1f1.20\x1e3\x1d", b"mail\x1fa@b.de\x1d", b"Ann\x1eBob\x1d"]
OTHERS = ~torch.eye(3, dtype=torch.bool)


def test_small_tables_are_read_in_a_row_and_wide_ones_are_fused() -> None:
    for length in (20, 100):
        for width, plan in ((1, "sequential"), (2, "sequential"), (8, "fused"), (16, "fused")):
            assert choose_reading([length] * width, ~torch.eye(width, dtype=torch.bool)) == plan
    assert (
        choose_reading([100] * 16, torch.zeros(16, 16, dtype=torch.bool)) == "sequential"
    )  # nothing to fuse


def test_with_one_context_column_both_ways_read_the_same(bundle: Bundle) -> None:
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    members = torch.tensor([[False, True, False], [False, False, True], [False, False, False]])
    ways = [read_in_context(specialist, PIECES, members, plan) for plan in ("sequential", "fused")]
    torch.testing.assert_close(ways[0], ways[1], rtol=2e-2, atol=2e-2)  # bfloat16, in other chunks
    alone = specialist.read(PIECES).features
    torch.testing.assert_close(ways[0][2:], alone[2:])
    assert not torch.allclose(ways[0][:2], alone[:2], atol=0.1)


def test_sequential_reading_is_the_end_of_one_stream(bundle: Bundle) -> None:
    specialist = FrozenSpecialist(bundle.model, bundle.identity)
    found = read_in_context(specialist, PIECES, OTHERS, "sequential")
    state = specialist.read([PIECES[0] + PIECES[1]]).states
    expected = specialist.read([PIECES[2]], state).features
    torch.testing.assert_close(found[2:], expected, rtol=2e-2, atol=2e-2)


def test_what_is_kept_is_always_fused(bundle: Bundle, tmp_path: Path) -> None:
    kept = FrozenSpecialist(bundle.model, bundle.identity, store=StateStore(tmp_path))
    plain = FrozenSpecialist(bundle.model, bundle.identity)
    fused = read_in_context(plain, PIECES, OTHERS, "fused")
    for _ in range(2):
        assert torch.equal(read_in_context(kept, PIECES, OTHERS), fused)
