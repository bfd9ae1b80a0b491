"""What can be made to go wrong, when, and with which seed."""
