"""Watches the generator: how late its hub is, and what the process and the machine have left."""
