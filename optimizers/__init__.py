"""What improves a swarm against the verifier: weights, prompts and behaviour."""

if __name__ != "aegir_dspy.optimizers":
    raise ImportError(
        f"expected the package aegir_dspy.optimizers; found it imported as {__name__!r}: "
        "install aegir-dspy and import aegir_dspy.optimizers"
    )
