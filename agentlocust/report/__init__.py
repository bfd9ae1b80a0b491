"""What people and machines read after a test, made from its Summary alone."""
