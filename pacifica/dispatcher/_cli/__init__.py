"""The command line: ``pacifica-dispatcher``, also ``python -m pacifica.dispatcher``.

The top of the library: it may use every other part, and nothing uses it. Each command is a file, or shares one with
those most like it; what takes long to import is imported inside the command that needs it.
"""

from __future__ import annotations

from pacifica.dispatcher._cli.program import main

__all__ = ['main']
