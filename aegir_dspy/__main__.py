"""``python -m aegir_dspy`` is the command ``aegir``."""

from aegir_dspy.cli.main import main

main()
