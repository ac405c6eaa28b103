"""The front door of ``celery_service``; apart from it, because workers need no secrets of the front door."""

from access import schemes
from celery_service import NAME, ReceiveTaskModel, celery_app

application = ReceiveTaskModel.create_cherrypy_app(celery_app.tasks[f'{NAME}.receive'], authenticate=schemes)
