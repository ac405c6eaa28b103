"""The table of events, the Celery application and the CherryPy application."""

import os

from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model

from .router import router

database = connect(os.getenv('DATABASE_URL', 'sqlite:///uppercase.db'))

ReceiveTaskModel = create_peewee_model(database)


def create_celery_settings():
    """Return what Celery is told."""
    settings = {'broker': os.getenv('BROKER_URL', 'pyamqp://')}
    if 'BACKEND_URL' in os.environ:
        settings['backend'] = os.environ['BACKEND_URL']
    if settings['broker'].startswith('filesystem'):
        directory = os.environ['BROKER_DIRECTORY']
        settings['broker_transport_options'] = {
            'data_folder_in': directory,
            'data_folder_out': directory,
            'data_folder_processed': os.environ['BROKER_DIRECTORY_PROCESSED'],
        }
    return settings


celery_app = ReceiveTaskModel.create_celery_app(
    router,
    'pacifica.dispatcher_uppercase.app',
    'pacifica.dispatcher_uppercase.tasks.receive',
    **create_celery_settings()
)

application = ReceiveTaskModel.create_cherrypy_app(
    celery_app.tasks['pacifica.dispatcher_uppercase.tasks.receive']
)
