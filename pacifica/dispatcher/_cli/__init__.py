"""The command line: ``pacifica-dispatcher``, also ``python -m pacifica.dispatcher``.

What takes long to import is imported inside the command that needs it.
"""

from pacifica.dispatcher._cli.program import main

__all__ = ['main']
