"""Who may send and read: secrets out of files that only the service can read.

systemd names their directory in ``CREDENTIALS_DIRECTORY`` (``LoadCredential=``); Docker's is ``/run/secrets``.
"""

import os
from pathlib import Path

from pacifica.dispatcher.authentication import Basic, BearerTokens, Secret

secrets = Path(os.environ.get('CREDENTIALS_DIRECTORY', '/run/secrets'))

schemes = [
    BearerTokens(Secret.from_file(secrets / 'notifications'), rights={'send'}),
    Basic({'operator': Secret.from_file(secrets / 'operator')}),
]
