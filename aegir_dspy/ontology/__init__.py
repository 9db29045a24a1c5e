"""What columns may mean: vocabularies of types and relations."""

from aegir_dspy.ontology.vocabulary import BUILTIN, Label, Vocabulary, load_vocabulary

__all__ = ["BUILTIN", "Label", "Vocabulary", "load_vocabulary"]
