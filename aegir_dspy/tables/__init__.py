"""Tables: reading them, and laying them out for a model. Imports no torch."""
