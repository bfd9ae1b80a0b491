"""Faults of the process that runs the agent: its clock, its disk, its memory, its processor. All are undone again."""
