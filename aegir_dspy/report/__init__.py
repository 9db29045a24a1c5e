"""What people and programs see of a result: the JSON contract and a table for the terminal."""
