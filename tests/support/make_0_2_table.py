"""Run by a Python with pacifica-dispatcher 0.2.5: make its table in the database given, a row in each status."""

import datetime
import json
import sys
import uuid

from playhouse.db_url import connect

from pacifica.dispatcher.receiver import create_peewee_model

STATUSES = (
    '202 Accepted', '102 Processing', '200 OK', '422 Unprocessable Entity', '500 Internal Server Error', '200 OK',
)

database = connect(sys.argv[1])
model = create_peewee_model(database)
database.create_tables([model])
for number, status in enumerate(STATUSES):
    event = {
        'cloudEventsVersion': '0.1', 'eventType': 'org.pacifica.metadata.ingest', 'source': 'http://metadata/é',
        'eventID': 'metadata.ingest.{}'.format(min(number, 4)),  # the last one came twice
        'contentType': 'application/json', 'data': [number],
    }
    time = datetime.datetime(2020, 1, 1, 12, 0, number)
    model.create(
        event_type=event['eventType'], source=event['source'], event_id=event['eventID'],
        content_type='application/json',
        event_data=json.dumps(event), data=json.dumps(event['data']), task_id=uuid.UUID(int=number),
        task_application_name='my.app', task_name='my.tasks.receive', task_status=status,
        exc_type='Exception' if status.startswith('500') else None, exc_traceback='', created=time, updated=time,
    )
