"""What a ``Content-Type`` header says (RFC 9110, section 8.3.1), as far as it decides how a body is read."""

from __future__ import annotations

import re

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s";]+)', re.IGNORECASE)


class MediaType:
    """A media type, without regard to case; *header* may be empty.

    ``name`` is the type without its parameters; ``charset`` the charset parameter in lower case, or ``utf-8``.
    """

    __slots__ = ('charset', 'name')

    def __init__(self, header: str) -> None:
        self.name = header.partition(';')[0].strip().lower()
        charset = _CHARSET.search(header)
        self.charset = charset[1].lower() if charset else 'utf-8'

    @property
    def is_json(self) -> bool:
        """Whether it is JSON: ``application/json``, ``text/json`` or anything that ends in ``+json``."""
        return self.name in ('application/json', 'text/json') or self.name.endswith('+json')

    @property
    def is_utf8(self) -> bool:
        """Whether it is in UTF-8, or in ASCII, which is UTF-8 too."""
        return self.charset in ('utf-8', 'utf8', 'us-ascii', 'ascii')
