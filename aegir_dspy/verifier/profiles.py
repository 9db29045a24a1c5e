"""Profiles: which gates and components make R, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aegir_dspy.errors import InputError

__all__ = ["COMPONENTS", "GATES", "PROFILES", "Profile", "load_profile"]

GATES: tuple[str, ...] = (
    "parse",
    "vocabulary",
    "slots",
    "bounds",
    "satisfiable",
    "acyclic",
    "rigidity",
    "duplicates",
    "stubs",
    "coverage",
)
"""The gates, in order. All are asked, except that nothing can be asked of what does not parse."""

COMPONENTS: tuple[str, ...] = ("R_B", "R_C", "R_D", "R_E")
"""Density, definitional completeness, topic alignment, instance evidence."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How R is made.

    Attributes:
        name: of the profile.
        weights: component → weight, above 0. R is the weighted mean of the components; one that cannot say
            anything about an input is left out of it.
        gates: the gates that R is 0 behind, in order.
        formula: ``aegir`` for the components of this package, ``aegir-0.3`` for those of the original
            (`aegir_dspy.verifier.original`).
    """

    name: str
    weights: tuple[tuple[str, float], ...]
    gates: tuple[str, ...] = GATES
    formula: Literal["aegir", "aegir-0.3"] = "aegir"

    def __post_init__(self) -> None:
        for component, weight in self.weights:
            if component not in COMPONENTS or not 0 < weight < float("inf"):
                raise InputError(
                    f"expected weights above 0 of {', '.join(COMPONENTS)} in profile {self.name!r}, "
                    f"found {component!r}: {weight}"
                )
        if not self.weights or len(dict(self.weights)) < len(self.weights):
            raise InputError(f"expected each component once in profile {self.name!r}, found {self.weights}")
        if unknown := sorted(set(self.gates) - {*GATES, "original"}):
            raise InputError(f"expected gates of {', '.join(GATES)}, found {unknown[0]!r}")

    def without(self, *names: str) -> Profile:
        """The profile without these gates or components: for ablations."""
        return Profile(
            f"{self.name} without {', '.join(names)}",
            tuple(one for one in self.weights if one[0] not in names),
            tuple(gate for gate in self.gates if gate not in names),
            self.formula,
        )

    def only(self, *components: str) -> Profile:
        """The profile with the same gates and only these components."""
        kept = tuple(one for one in self.weights if one[0] in components)
        return Profile(f"{self.name} only {', '.join(components)}", kept, self.gates, self.formula)


PROFILES: dict[str, Profile] = {
    "annotation": Profile("annotation", (("R_B", 0.05), ("R_C", 0.05), ("R_D", 0.15), ("R_E", 0.75))),
    "composition": Profile("composition", (("R_B", 0.2), ("R_C", 0.25), ("R_D", 0.2), ("R_E", 0.35))),
    "aegir-0.3": Profile(
        "aegir-0.3",
        (("R_B", 0.50), ("R_C", 0.05), ("R_D", 0.45)),
        ("parse", "original"),
        "aegir-0.3",
    ),
}
"""The built-in profiles, by name."""


def load_profile(profile: str | Profile) -> Profile:
    """The profile of that name, or the profile itself.

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise InputError(f"expected a profile of {', '.join(PROFILES)}, found {profile!r}")
    return PROFILES[profile]
