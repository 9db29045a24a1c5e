"""What is done with tables and other goals: tasks, agents, failures, budgets, step by step."""
