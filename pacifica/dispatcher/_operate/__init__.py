"""What people do with events, once: the terminal and the dashboard are its faces.

Imports the queue and what is below it: no terminal, no web server; and no database until there is something to do.
"""
