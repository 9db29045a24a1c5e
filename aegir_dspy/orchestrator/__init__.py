"""What is done with tables, step by step."""
