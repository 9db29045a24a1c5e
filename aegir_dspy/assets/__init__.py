"""Data that ships with the package: vocabularies, weights, and their hashes."""
