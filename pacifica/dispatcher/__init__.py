"""Receive Pacifica CloudEvents notifications and run your code on the data they announce."""
