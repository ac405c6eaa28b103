"""The commands, one module each.

A module defines ``command``, a :class:`click.Command`; its file's name is the command's name. Nothing else has to know
of it. Import at its top only what ``--help`` needs.
"""
