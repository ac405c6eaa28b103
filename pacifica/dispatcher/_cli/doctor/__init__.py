"""``doctor``: is everything there that a dispatcher needs?

:mod:`.checks` is the list of what is looked at. A check is a function that takes the :class:`~.settings.Settings` and
returns a :class:`~.finding.Finding`; it changes nothing. :mod:`.running` runs all of them at once.
"""
