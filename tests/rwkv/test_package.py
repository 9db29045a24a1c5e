"""Parity with the `rwkv` package, raw and as a backend."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from aegir_dspy.errors import CheckpointError
from aegir_dspy.rwkv import Engine, GenerationConfig
from aegir_dspy.rwkv.package_backend import from_package_state, package_class, to_package_state

pytest.importorskip("rwkv")
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
NAMES = ["L2-D128-N64-V300", "L4-D256-N64"]


@pytest.fixture(scope="module", params=NAMES)
def pair(request, checkpoint):
    """(our engine, the package's own model on the same file)."""
    path = checkpoint(request.param)
    package = package_class()(model=str(path.with_suffix("")), strategy="cpu fp32")
    return Engine.load(path, tokenizer="bytes"), package


def tokens_for(engine: Engine, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(1, engine.identity.geometry.vocab, (count,), generator=generator).tolist()


def test_logits_agree(pair):
    engine, package = pair
    tokens = tokens_for(engine, 50)
    expected, _ = package.forward(tokens, None, full_output=True)
    with torch.no_grad():
        hidden, _ = engine.model(torch.tensor([tokens]))
        found = engine.model.logits(hidden)[0]
    assert expected.std() > 0.1
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_states_agree_and_a_transposed_one_does_not(pair):
    engine, package = pair
    [state] = engine.read([tokens_for(engine, 30)])
    _, theirs = package.forward(tokens_for(engine, 30), None)
    converted = from_package_state(theirs)
    torch.testing.assert_close(converted.kv, state.tensors.kv, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(converted.shift, state.tensors.shift, rtol=1e-4, atol=1e-5)
    expected, _ = package.forward(9, to_package_state(state.tensors, 0))
    right = engine.model.logits(engine.model.step(torch.tensor([9]), converted))[0]
    wrong_layout = state.tensors._replace(kv=state.tensors.kv.transpose(-1, -2).clone())
    wrong = engine.model.logits(engine.model.step(torch.tensor([9]), wrong_layout))[0]
    assert (right - expected).abs().max() <= 2e-5 * expected.abs().max()
    assert (wrong - expected).abs().max() > 1e-2 * expected.abs().max()


def test_backend_reads_generates_and_scores_the_same(checkpoint):
    path = checkpoint("L4-D256-N64")
    ours, theirs = Engine.load(path), Engine.load(path, backend="rwkv")
    prompts = ["first\x1d", "a second, longer one\x1d", b"\x05"]
    for one, two in zip(ours.read(prompts), theirs.read(prompts), strict=True):
        torch.testing.assert_close(one.tensors.kv, two.tensors.kv, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.hidden, two.hidden, rtol=1e-4, atol=1e-4)
    config = GenerationConfig(max_tokens=12, temperature=0.8, seed=4)
    assert [g.tokens for g in ours.generate(prompts, config=config)] == [
        g.tokens for g in theirs.generate(prompts, config=config)
    ]
    candidates = ["email", "email address", "url"]
    assert ours.score(prompts[0], candidates, b"\x1c") == pytest.approx(
        theirs.score(prompts[0], candidates, b"\x1c"), abs=1e-3
    )


def test_states_cross_between_backends(checkpoint):
    path = checkpoint("L4-D256-N64")
    ours, theirs = Engine.load(path), Engine.load(path, backend="rwkv")
    [state] = theirs.read(["column\x1d"])
    assert ours.generate([""], states=[state])[0].text == ours.generate(["column\x1d"])[0].text


def test_ngram_model_is_refused(checkpoint):
    with pytest.raises(CheckpointError, match="use backend 'torch'"):
        Engine.load(checkpoint("ngram"), backend="rwkv")


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "RWKV_V7_ON"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_package_imported_without_v7_is_a_one_line_error():
    done = run(
        "import rwkv.model\nfrom aegir_dspy.rwkv.package_backend import package_class\n"
        "from aegir_dspy.errors import PrerequisiteError\n"
        "try: package_class()\nexcept PrerequisiteError as error: print('refused:', error)"
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("refused:"))
    assert "RWKV_V7_ON=1" in line, done.stderr


def test_import_leaves_the_process_as_it_was():
    done = run(
        "import os, torch\nfrom aegir_dspy.rwkv.package_backend import package_class\n"
        "before = torch.backends.cuda.matmul.allow_tf32\npackage_class()\n"
        "print([os.environ.get('RWKV_V7_ON'), torch.backends.cuda.matmul.allow_tf32 == before])"
    )
    assert done.stdout == "[None, True]\n", done.stderr  # and nothing of the package's own printing
