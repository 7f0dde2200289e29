"""What every run needs around its training: configuration, identity, checkpoints, seeding, logs. Imports no sibling room."""
