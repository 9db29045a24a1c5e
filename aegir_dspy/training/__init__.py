"""What `aegir train` runs: labelled and unlabelled tables, the dev split, objectives and the trainer."""
