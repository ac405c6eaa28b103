"""Authentication: the clients that may send events, and those that may read what became of them.

Pass one scheme or several as ``authenticate=`` to ``create_cherrypy_app``:

.. code-block:: python

    from pacifica.dispatcher.authentication import BearerTokens, Secret

    application = ReceiveTaskModel.create_cherrypy_app(queue, authenticate=[
        BearerTokens(Secret.from_file('/run/secrets/notifications'), rights={'send'}),
        BearerTokens(Secret.from_environment('OPERATOR_TOKEN'), rights={'send', 'read'}),
    ])

A request is let in by the first scheme that knows its credentials; without any it is answered ``401``, without the
right it needs ``403``. A scheme is any callable that takes a :class:`Credentials` and returns the rights that they
give, or ``None`` if they are not its own: an application that this one is mounted in can bring its own that way.

Secrets come from files or the environment. They are compared in constant time and appear in no ``repr``, log or error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, Protocol, Union

from pacifica.dispatcher.exceptions import ConfigurationError

__all__ = [
    'ALL_RIGHTS', 'Authenticate', 'Basic', 'BearerTokens', 'Credentials', 'Right', 'Scheme', 'Secret',
    'StandardWebhooks', 'challenges', 'rights_of', 'signature_headers',
]

#: ``send``: POST events. ``read``: see tasks, statuses and records. ``operate``: run events again, or cancel them.
Right = Literal['send', 'read', 'operate']

ALL_RIGHTS: frozenset[Right] = frozenset(('send', 'read', 'operate'))


class Secret:
    """A secret, not empty, that doesn't show itself."""

    __slots__ = ('_value',)

    def __init__(self, value: str) -> None:
        if not value:
            raise ConfigurationError('a secret may not be empty')
        self._value = value

    def __repr__(self) -> str:
        return 'Secret(...)'

    def __reduce__(self) -> str:
        raise TypeError('a secret can\'t be pickled: it would be stored')

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Secret:
        """Return the secret in a file, without the white space around it.

        :raises ConfigurationError: if it can't be read or is empty.
        """
        try:
            return cls(Path(path).read_text('utf-8').strip())
        except (OSError, UnicodeError, ConfigurationError) as exc:
            raise ConfigurationError(f'no secret can be read from {os.fspath(path)}: {exc}') from exc

    @classmethod
    def from_environment(cls, variable: str) -> Secret:
        """Return the secret in an environment variable.

        :raises ConfigurationError: if it isn't set or is empty.
        """
        value = os.environ.get(variable)
        if not value:
            raise ConfigurationError(f'the environment variable {variable} holds no secret')
        return cls(value)

    def equals(self, candidate: str) -> bool:
        """Return whether *candidate* is the secret, in a time that doesn't depend on where they differ."""
        return hmac.compare_digest(_digest(self._value), _digest(candidate))

    def reveal(self) -> str:
        """Return the secret itself, for what has to compute with it."""
        return self._value


@dataclass(frozen=True)
class Credentials:
    """What a request shows of who sent it.

    :param headers: its headers, names in lower case.
    :param access_token: the ``access_token`` of the query, if there is one.
    :param body: returns its raw body, read under the limit of size.
    """

    headers: Mapping[str, str]
    access_token: str | None
    body: Callable[[], bytes]

    def authorization(self, scheme: str) -> str | None:
        """Return the credentials of an ``Authorization`` header of this *scheme* (RFC 9110, section 11.4)."""
        name, _, credentials = self.headers.get('authorization', '').partition(' ')
        return credentials.strip() if name.lower() == scheme.lower() else None

    def __repr__(self) -> str:
        return 'Credentials(...)'


class Scheme(Protocol):
    """Recognizes some credentials; may have an attribute ``challenge``, for the ``WWW-Authenticate`` of a ``401``."""

    def __call__(self, credentials: Credentials, /) -> Collection[Right] | None:
        """Return the rights that *credentials* give, ``None`` if they are not known here."""


class BearerTokens:
    """Bearer tokens (RFC 6750): in the ``Authorization`` header, or as ``access_token`` in the query.

    The webhook specification demands both (section 3); the query is never logged here, but may be by a proxy.

    :param secrets: one token or several, all with the same rights: two of them let you change one at a time.
    :param rights: what they allow; by default everything.
    """

    challenge = 'Bearer realm="dispatcher"'

    def __init__(self, secrets: Secret | Iterable[Secret], rights: Collection[Right] = ALL_RIGHTS) -> None:
        self._secrets = _secrets(secrets)
        self._rights = _checked(rights)

    def __call__(self, credentials: Credentials) -> Collection[Right] | None:
        """Return the rights of the token, ``None`` if there is none or it is not known."""
        token = credentials.authorization('Bearer') or credentials.access_token
        if token is None:
            return None
        # Compares with all of them: the time must not tell which one it is.
        known = [secret.equals(token) for secret in self._secrets]
        return self._rights if any(known) else None


class Basic:
    """User names and passwords (RFC 7617), read by CherryPy's own ``auth_basic``.

    :param users: the password of each user.
    :param rights: what they allow; by default everything. Kept as ``rights``.
    :param realm: shown by browsers, without quotes. Kept as ``realm``.
    """

    def __init__(
        self, users: Mapping[str, Secret], rights: Collection[Right] = ALL_RIGHTS, realm: str = 'dispatcher',
    ) -> None:
        if not users or '"' in realm:
            raise ConfigurationError('Basic needs at least one user, and a realm without quotes')
        self._users = dict(users)
        self._no_password = Secret(os.urandom(16).hex())
        self.rights = _checked(rights)
        self.realm = realm
        self.challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def check_password(self, realm: str, username: str, password: str) -> bool:
        """Return whether this is the user's password; a ``checkpassword`` for CherryPy's ``auth_basic`` tool."""
        return self._users.get(username, self._no_password).equals(password)


#: What ``authenticate=`` takes.
Authenticate = Union[Scheme, Basic, Sequence[Union[Scheme, Basic]]]


class StandardWebhooks:
    """Signatures over the raw body (https://www.standardwebhooks.com), in ``webhook-`` headers; they allow to send.

    Needs the package ``standardwebhooks`` (the extra ``webhooks``).

    :param secrets: one signing secret or several (``whsec_`` and base64), any of which may have signed: to rotate one,
        add the new before you remove the old.
    :param tolerance: seconds by which a signature's timestamp may differ from this machine's clock, at most 300.
    """

    challenge = 'StandardWebhooks'

    def __init__(self, secrets: Secret | Iterable[Secret], tolerance: float = 300.0) -> None:
        if not 0 < tolerance <= 300:
            raise ConfigurationError(f'tolerance must be up to 300 seconds, not {tolerance}')
        self._signers = [_signer(each) for each in _secrets(secrets)]
        self._tolerance = tolerance

    def __call__(self, credentials: Credentials) -> Collection[Right] | None:
        """Return the right to send if one of the secrets signed this body lately, else ``None``."""
        headers = {name: credentials.headers.get(f'webhook-{name}', '') for name in ('id', 'timestamp', 'signature')}
        if not all(headers.values()) or not self._is_recent(headers['timestamp']):
            return None
        # Not by the package, which demands that a body is UTF-8, as the specification doesn't.
        content = f'{headers["id"]}.{headers["timestamp"]}.'.encode('utf-8', 'surrogatepass') + credentials.body()
        expected = [_signature(key, content) for key, _ in self._signers]
        given = [each.encode('utf-8', 'surrogatepass') for each in headers['signature'].split()]
        # Compares all: the time must not tell which one it is.
        known = [hmac.compare_digest(right, each) for right in expected for each in given]
        return frozenset(('send',)) if any(known) else None

    def _is_recent(self, timestamp: str) -> bool:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13):
            return False
        return abs(time.time() - int(timestamp)) <= self._tolerance


def rights_of(credentials: Credentials, schemes: Sequence[Scheme]) -> Collection[Right] | None:
    """Return the rights that the first scheme that knows *credentials* gives them, ``None`` if none knows them."""
    return next((rights for scheme in schemes if (rights := scheme(credentials)) is not None), None)


def challenges(schemes: Iterable[object]) -> str:
    """Return what ``WWW-Authenticate`` says (RFC 9110, section 11.6.1)."""
    return ', '.join(dict.fromkeys(each.challenge for each in schemes if hasattr(each, 'challenge')))


def signature_headers(secret: Secret, message_id: str, body: str) -> dict[str, str]:
    """Return the headers that sign *body* now, for a receiver with :class:`StandardWebhooks` and the same secret.

    :raises ConfigurationError: without the package ``standardwebhooks``, or if the secret is no signing secret.
    """
    now = datetime.now(timezone.utc)
    _, webhook = _signer(secret)
    return {
        'webhook-id': message_id,
        'webhook-timestamp': str(int(now.timestamp())),
        'webhook-signature': webhook.sign(message_id, now, body),
    }


def _signer(secret: Secret) -> tuple[bytes, Any]:
    """Return the key of a signing secret, and what signs and verifies by it."""
    try:
        from standardwebhooks import Webhook
    except ImportError as exc:
        raise ConfigurationError(
            'signatures need the package standardwebhooks: pip install pacifica-dispatcher[webhooks]') from exc
    text = secret.reveal().removeprefix('whsec_').rstrip('=')
    try:
        key = base64.b64decode(text + '=' * (-len(text) % 4), validate=True)
        return key, Webhook(key)
    except Exception:  # its message may hold the secret, and so may that of what caused it
        raise ConfigurationError('a signing secret must be base64, after whsec_ if it has that') from None


def _signature(key: bytes, content: bytes) -> bytes:
    return b'v1,' + base64.b64encode(hmac.digest(key, content, 'sha256'))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()


def _secrets(secrets: Secret | Iterable[Secret]) -> list[Secret]:
    found = [secrets] if isinstance(secrets, Secret) else list(secrets)
    if not found or not all(isinstance(each, Secret) for each in found):
        raise ConfigurationError('secrets must be one Secret or several: Secret.from_file(...)')
    return found


def _checked(rights: Collection[Right]) -> frozenset[Right]:
    if isinstance(rights, str) or not rights or not ALL_RIGHTS.issuperset(rights):
        raise ConfigurationError(f'rights must be some of {", ".join(sorted(ALL_RIGHTS))}')
    return frozenset(rights)
