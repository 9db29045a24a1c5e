"""The seams to other software, one module each; the other software is imported when it is used."""

if __name__ != "aegir_dspy.adapters":
    raise ImportError(
        f"expected the package aegir_dspy.adapters; found it imported as {__name__!r}: "
        "install aegir-dspy and import aegir_dspy.adapters"
    )
