"""The package as a whole: what is listed, what may import what, what is public, what an import costs."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Where packages lie, by the name they install under.
ROOTS = {f"aegir_dspy.{name}": ROOT / name for name in ("adapters", "optimizers")}
ROOTS["aegir_dspy"] = ROOT / "aegir_dspy"

# The rooms of the design: what each may import, and with it all that those may import.
LEAVES = {"errors", "assets", "_version", "settings_file"}
MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "assets": set(),
    "errors": set(),
    "settings_file": {"errors"},
    "rwkv": LEAVES,
    "tables": LEAVES,
    "latent": {"rwkv"},
    "ontology": {"tables"},
    "verifier": {"ontology", "tables"},
    "annotator": {"latent", "ontology", "tables"},
    "training": {"annotator", "latent", "rwkv", "tables", "verifier"},  # the shapes evidence is judged by
    "orchestrator": {"annotator", "latent", "verifier", "tables"},
    "adapters.dspy_lm": {"latent", "rwkv", "tables"},
    "swarm": {"orchestrator", "verifier", "latent", "tables", "adapters.dspy_lm"},
    "adapters": {"swarm"},
    "optimizers": {"swarm", "adapters", "verifier", "latent", "rwkv"},
    "front": {"optimizers", "training"},
    "report": {"front"},
    "cli": {"front", "report"},
}
OTHER_NAMES = {"": "front", "__main__": "cli"} | dict.fromkeys(
    ("result", "settings", "shards", "specialist"), "swarm"
)
AGENTS = {"dspy", "langgraph", "litellm", "agentlightning"}
NEVER = {"rwkv": AGENTS} | {name: AGENTS | {"torch"} for name in ("tables", "ontology", "verifier")}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package: its dotted name and its file."""
    links = [ROOTS["aegir_dspy"] / root.name for root in ROOTS.values()]
    found = {}
    for package, root in ROOTS.items():
        for path in root.rglob("*.py"):
            if not any(link in path.parents for link in links):
                parts = path.relative_to(root).with_suffix("").parts
                found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return dict(sorted(found.items()))


def packages() -> list[str]:
    return [name for name, path in modules().items() if path.name == "__init__.py"]


def room(module: str) -> str:
    """The room of a module of the package."""
    name = module.removeprefix("aegir_dspy").removeprefix(".")
    for candidate in (".".join(name.split(".")[:2]), name.split(".", maxsplit=1)[0]):
        known = OTHER_NAMES.get(candidate, candidate)
        if known in MAY_IMPORT:
            return known
    raise AssertionError(f"expected {module} in a room of the design; found none: add it to MAY_IMPORT")


def reach(name: str) -> set[str]:
    """The rooms a room may import: those the design names, and all below them."""
    below = MAY_IMPORT[name]
    return {name} | below | {room for other in below for room in reach(other)}


def imports(module: str, source: str, *, is_package: bool) -> Iterator[str]:
    """The dotted names a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
            base = ".".join([*(parents if node.level else []), *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules() else base


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What a module imports although its room may not."""
    own = room(module)
    found = []
    for name in imports(module, source, is_package=is_package):
        top = name.split(".", maxsplit=1)[0]
        ours = top == "aegir_dspy" or top in {"adapters", "optimizers"}
        if (ours and room(name) not in reach(own)) or top in NEVER.get(own, set()):
            found.append(f"{module} imports {name}")
    return found


def test_listed_packages_are_the_folders() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "packages"
    ]
    assert listed == sorted(listed)
    assert listed == packages()


def test_imports_point_downward() -> None:
    found = [
        violation
        for module, path in modules().items()
        for violation in violations(
            module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py"
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("aegir_dspy.tables.read", "from aegir_dspy.errors import InputError", True),
        ("aegir_dspy.tables.read", "def f():\n    from aegir_dspy.ontology import x", False),
        ("aegir_dspy.tables.read", "from ..ontology import x", False),
        ("aegir_dspy.tables.read", "from .table import Table", True),
        ("aegir_dspy.tables.read", "from aegir_dspy import errors", True),
        ("aegir_dspy.tables.read", "from aegir_dspy import Swarm", False),
        ("aegir_dspy.tables.read", "import torch.nn", False),
        ("aegir_dspy.rwkv.model", "import torch.nn", True),
        ("aegir_dspy.rwkv.model", "from rwkv.model import RWKV", True),
        ("aegir_dspy.rwkv.model", "from dspy.utils import x", False),
        ("aegir_dspy.verifier.gates", "from aegir_dspy.latent.fusion import fuse", False),
        ("aegir_dspy.annotator.types", "from aegir_dspy.rwkv.state import State", True),
        ("aegir_dspy.adapters.dspy_lm.engine", "from aegir_dspy.swarm import Swarm", False),
        ("aegir_dspy.adapters.langgraph_app", "from aegir_dspy.swarm import Swarm", True),
        ("aegir_dspy.swarm", "import aegir_dspy.adapters.langgraph_app", False),
        ("aegir_dspy.swarm", "import aegir_dspy.adapters.dspy_lm", True),
        ("aegir_dspy.specialist", "import aegir_dspy.optimizers.grpo", False),
        ("aegir_dspy.cli.main", "import aegir_dspy, aegir_dspy.optimizers.grpo, aegir_dspy.report", True),
    ],
)
def test_the_rule_itself(module: str, source: str, allowed: bool) -> None:
    assert (violations(module, source) == []) is allowed


def test_relative_imports_of_a_package_are_resolved() -> None:
    source = "from . import table\nfrom ..ontology import vocabulary"
    found = list(imports("aegir_dspy.tables", source, is_package=True))
    assert found == ["aegir_dspy.tables.table", "aegir_dspy.ontology.vocabulary"]


@pytest.mark.parametrize("package", packages())
def test_public_names_are_exact(package: str) -> None:
    """Each name of `__all__` is there, and what a package takes from its modules is in `__all__`."""
    loaded = importlib.import_module(package)
    public: list[str] = list(getattr(loaded, "__all__", []))
    assert [name for name in public if not hasattr(loaded, name)] == []
    assert len(set(public)) == len(public)
    assert _bound(modules()[package]) - set(public) == set()


def _bound(path: Path) -> set[str]:
    """The public names a package defines or takes from modules of ours."""
    names = set()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in [*body, *(inner for block in body if isinstance(block, ast.If) for inner in block.body)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("aegir_dspy")):
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_")}


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter that finds this package and the bare folders beside it."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("name", ["adapters", "optimizers"])
def test_bare_names_are_refused_with_the_remedy(name: str) -> None:
    done = fresh(f"import {name}")
    assert done.returncode == 1
    assert re.search(rf"ImportError: .*import aegir_dspy\.{name}", done.stderr)
    assert fresh(f"import aegir_dspy.{name}").returncode == 0


def test_import_is_light() -> None:
    # Processor time: the wall clock would measure whatever else runs on the machine.
    code = (
        "import sys, time; start = time.process_time(); import aegir_dspy; aegir_dspy.__all__\n"
        "spent = time.process_time() - start\n"
        "print(spent, *({'litellm', 'langgraph', 'agentlightning'} & set(sys.modules)))"
    )
    runs = [fresh(code) for _ in range(3)]
    assert [run.stderr for run in runs if run.returncode] == []
    assert [run.stdout.split()[1:] for run in runs] == [[], [], []]
    assert statistics.median(float(run.stdout.split()[0]) for run in runs) < 2.0
