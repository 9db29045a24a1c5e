"""`Swarm` with a signature of one's own: one input is read by specialists, the primary answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import dspy
import pytest
import torch

import aegir_dspy as aegir
from aegir_dspy.errors import InputError
from aegir_dspy.rwkv import RWKV7, Geometry
from aegir_dspy.rwkv.checkpoint import save_weights
from aegir_dspy.rwkv.initialize import initialize


class Sort(dspy.Signature):
    examples: list[str] = dspy.InputField()
    value: str = dspy.InputField()
    kind: Literal["city", "email", "date"] = dspy.OutputField()


def write_model(path: Path, seed: int) -> Path:
    model = initialize(RWKV7(Geometry.small(2, 32, head_size=16)), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # the initial weights pass nothing on from the state
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    save_weights(path, model.state_dict(), {}, torch.float32)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("weights") / "a.safetensors", 0)


def test_literal_answers_stay_in_the_choices(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    out = swarm(examples=["Oslo", "Rome"], value="Paris")
    assert out.kind in ("city", "email", "date")
    assert (out.usage.agents, out.usage.critical_steps, out.usage.serial_steps) == (2, 2, 3)


def test_the_answer_depends_on_what_the_specialists_read(weights):
    swarm = aegir.Swarm("notes: list[str], question -> answer", primary=weights, shard="notes")
    answers = {swarm(notes=[text * 5], question="?").answer for text in ("abc", "xyz", "123", "-+*")}
    assert len(answers) > 1


def test_the_order_of_the_parts_does_not_matter(weights):
    swarm = aegir.Swarm("notes: list[str], question -> answer", primary=weights, shard="notes")
    parts = ["one", "another", "a third"]
    assert swarm(notes=parts, question="q").answer == swarm(notes=parts[::-1], question="q").answer


def test_awaited_calls_and_the_predictors_are_visible(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    assert [name for name, _ in swarm.named_predictors()] == ["specialists['reader']", "primary"]
    called = swarm(examples=["a"], value="b").kind
    assert asyncio.run(swarm.acall(examples=["a"], value="b")).kind == called


def test_the_shard_must_be_an_input(weights):
    with pytest.raises(InputError, match=r"expected shard to be one of \['examples', 'value'\]"):
        aegir.Swarm(Sort, primary=weights, shard="kind")


def test_states_of_another_model_are_refused(weights, tmp_path):
    other = write_model(tmp_path / "b.safetensors", 1)
    swarm = aegir.Swarm(Sort, primary=weights, specialists=[other], shard="examples")
    with pytest.raises(Exception, match=r"expected a state with checkpoint"):
        swarm(examples=["a"], value="b")


def test_nothing_to_read_is_an_error(weights):
    swarm = aegir.Swarm(Sort, primary=weights, shard="examples")
    with pytest.raises(InputError, match="at least one element in examples"):
        swarm(examples=[], value="b")
