"""Finds out how much load one worker can make on this machine before its numbers stop being true."""
