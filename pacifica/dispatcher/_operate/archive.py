"""Where the archive shows a transaction to people."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from pacifica.dispatcher.exceptions import ConfigurationError

_FIELD = '{transaction}'


class TransactionUrl:
    """The address of a transaction's page, made of a *template* that has ``{transaction}`` in it.

    :raises ConfigurationError: if it has not, or is no address of a web page.
    """

    def __init__(self, template: str) -> None:
        try:
            parts = urlsplit(template)
            fine = parts.scheme in ('http', 'https') and parts.hostname and _FIELD not in parts.netloc
        except ValueError:
            fine = False
        if not fine or _FIELD not in template:
            raise ConfigurationError(
                f'{template!r} is no address of transactions: write https://HOST/PATH/{_FIELD}, in which {_FIELD} '
                'stands for the id')
        self._template = template

    def of(self, transaction: object) -> str:
        """Return the address of the page of a transaction."""
        return self._template.replace(_FIELD, quote(str(transaction), safe=''))
