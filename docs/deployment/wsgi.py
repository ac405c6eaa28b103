"""The front door for gunicorn, uWSGI or another WSGI server; workers are processes beside it.

Importing this connects to nothing, so a server may import it before it forks: each process makes its own connections.
"""

import os

from access import schemes
from pacifica.dispatcher_uppercase import router
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model

NAME = 'pacifica.dispatcher_uppercase'  # as "pacifica-dispatcher work pacifica.dispatcher_uppercase:router" says it

ReceiveTaskModel = create_peewee_model(connect(os.environ['DATABASE_URL'], unquote_user=True, unquote_password=True))
queue = ReceiveTaskModel.create_queue(router, NAME, f'{NAME}.receive')
application = ReceiveTaskModel.create_cherrypy_app(queue, authenticate=schemes)
