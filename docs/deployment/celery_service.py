"""The same service on a Celery cluster: ``celery -A celery_service worker``."""

import os

from pacifica.dispatcher_uppercase import router
from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model

NAME = 'pacifica.dispatcher_uppercase'

ReceiveTaskModel = create_peewee_model(connect(os.environ['DATABASE_URL'], unquote_user=True, unquote_password=True))
celery_app = ReceiveTaskModel.create_celery_app(
    router, NAME, f'{NAME}.receive',
    broker=os.environ['BROKER_URL'], broker_connection_retry_on_startup=True, task_default_queue=NAME,
)
