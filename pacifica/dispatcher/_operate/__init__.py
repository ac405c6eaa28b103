"""What people do with events, once: the terminal and the dashboard are its faces.

Imports the queue and what is below it, and for type hints only, so that the help of a command loads no database.
"""
