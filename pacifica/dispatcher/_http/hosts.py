"""The names under which a front door without authentication answers browsers, and whoever asks on the loopback.

The page of any site can have that site's name lead to this server once it is loaded (DNS rebinding). To the browser,
what the page asks then is of its own site: it may read the answers, and send forms and JSON. Only ``Host`` still has
the site's name. Nobody can have that done with an address, since none is looked up.

Programs are no browsers: one that sends events, or reads from a server that more than this machine reaches, may use
any name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from pacifica.dispatcher._http.webhook import is_loopback
from pacifica.dispatcher.exceptions import ConfigurationError

#: What every browser sends with a POST; and what it sends with all else too, which no page can keep it from doing.
_WITH_A_POST = ('Origin', 'Sec-Fetch-Site')
_OF_A_BROWSER = (*_WITH_A_POST, 'Accept-Language')

_NAME = re.compile(r'[A-Za-z0-9._-]+')
_PORT = re.compile(r':\d*$')


class AllowedHosts:
    """The names by which the server may be asked, besides ``localhost`` and addresses.

    :param names: without scheme and port, in upper or lower case; ``*`` for all.
    """

    def __init__(self, names: Iterable[str] | None) -> None:
        if isinstance(names, str):
            raise ConfigurationError(f'allowed_hosts must be a list of names, for example [{names!r}]')
        names = list(names or ())
        for name in names:
            if name != '*' and not _NAME.fullmatch(name):
                raise ConfigurationError(f'{name!r} is no name of a host: give it without scheme and port, or "*"')
        self._all = '*' in names
        self._names = {'localhost', *(name.lower().rstrip('.') for name in names)}

    def refuse(self, headers: Mapping[str, str], first: str, server_name: str) -> bool:
        """Return whether a request is to be refused for its ``Host``.

        :param headers: its headers, with their names as in ``Sec-Fetch-Site``.
        :param first: the first part of its path; ``receive`` is for programs, ``health`` tells nothing.
        :param server_name: where the server listens.
        """
        if first == 'health' or self._all:
            return False
        if first == 'receive':
            asked = any(name in headers for name in _WITH_A_POST)
        else:
            asked = is_loopback(server_name) or any(name in headers for name in _OF_A_BROWSER)
        return asked and not self._know(headers.get('Host', ''))

    def _know(self, host: str) -> bool:
        name = _PORT.sub('', host).lower().rstrip('.')
        try:
            ipaddress.ip_address(name.strip('[]'))
        except ValueError:
            return not name or name in self._names
        return True
