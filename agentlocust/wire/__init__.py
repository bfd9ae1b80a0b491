"""The wire: connections read in the hub, replies stamped as their bytes arrive."""
