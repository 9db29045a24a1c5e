"""The command ``aegir``."""
