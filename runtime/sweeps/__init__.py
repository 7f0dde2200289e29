"""Many trainings as one experiment: grids over seeds and searches, run by local workers, a SLURM array or a W&B agent.

A trial is one `train.py` process in a session of its own. Nothing here imports torch: a typing mistake is told at once, and a
sweep costs no memory beside its trials.
"""
