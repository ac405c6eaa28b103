"""What people do with events, once: the terminal and the dashboard are its faces.

:mod:`.report` is the state of the whole table. :mod:`.selection` finds events, :mod:`.actions` changes them,
:mod:`.timeline` tells the story of one, :mod:`.explain` says why a route matches it; :mod:`.words` has the wording.
Imports the queue and what is below it: no terminal, no web server.
"""
