"""``python -m pacifica.dispatcher``: the command line."""

from __future__ import annotations

from pacifica.dispatcher._cli import main

if __name__ == '__main__':
    main()
