"""The receiver: ``python -m pacifica.dispatcher_uppercase``.

The workers: ``celery -A pacifica.dispatcher_uppercase.receiver worker``.
"""

import os

import cherrypy

from .receiver import ReceiveTaskModel, application, database


def main():
    """Make the table, then receive events until the process ends."""
    database.connect()
    database.create_tables([ReceiveTaskModel])
    database.close()
    cherrypy.config.update({
        'global': {
            'server.socket_host': os.getenv('LISTEN_ADDRESS', '127.0.0.1'),
            'server.socket_port': int(os.getenv('LISTEN_PORT', '8069')),
        },
    })
    cherrypy.quickstart(application)


if __name__ == '__main__':
    main()
