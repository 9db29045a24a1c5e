"""What columns may mean: vocabularies of types and relations."""

from aegir_dspy.ontology.vocabulary import VOCABULARIES, Label, Vocabulary, load_vocabulary

__all__ = ["VOCABULARIES", "Label", "Vocabulary", "load_vocabulary"]
