"""Every metric: its name, what it says, and its labels, of which none is anything that a sender chooses."""

from prometheus_client import Counter, Gauge, Histogram

PREFIX = 'pacifica_dispatcher_'

STAGES = ('total', 'download', 'handle', 'upload', 'other')
"""What the label ``stage`` may say; a handler's own stages are ``other``."""

CODES = (200, 400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 507)
"""What ``/receive`` answers: each is there from the start, at 0, so that the first one is an increase."""

_QUEUE = ('application', 'task')
_ROUTE = (*_QUEUE, 'route')
_BUCKETS = (.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_LONG_BUCKETS = (.01, .05, .25, 1, 5, 30, 60, 300, 900, 3600, 14400, 86400)

EVENTS_FINISHED = Counter(
    PREFIX + 'events_finished', 'Events that have ended, by their final status: 200, 422 or 500.', (*_ROUTE, 'status'))
EVENTS_SKIPPED = Counter(
    PREFIX + 'events_skipped',
    'Events that ended in 200 and no handler ran for, because their route had made them itself.', _ROUTE)
RETRIES = Counter(
    PREFIX + 'retries', 'Attempts that failed for a transient reason, after which the event waits for another.', _ROUTE)
ATTEMPT_SECONDS = Histogram(
    PREFIX + 'attempt_duration_seconds',
    'How long an attempt took in total, and how long each of its stages: download, handle, upload, other.',
    (*_ROUTE, 'stage'), buckets=_BUCKETS)
EVENT_SECONDS = Histogram(
    PREFIX + 'event_duration_seconds', 'Time from the acceptance of an event to its end, waiting included.',
    _QUEUE, buckets=_LONG_BUCKETS)
TRANSFERRED_BYTES = Counter(
    PREFIX + 'transferred_bytes', 'Bytes of files that were staged in (download) and out (upload).',
    (*_QUEUE, 'direction'))
TRANSFERRED_FILES = Counter(
    PREFIX + 'transferred_files', 'Files that were staged in (download) and out (upload).', (*_QUEUE, 'direction'))
LEASES_LOST = Counter(
    PREFIX + 'leases_lost',
    'Attempts whose result was not written, because the event had been given to another worker meanwhile.', _QUEUE)
RESCUED = Counter(
    PREFIX + 'rescued_events', 'Events taken over from workers that died: run again, or ended after too many attempts.',
    (*_QUEUE, 'outcome'))
MISSED = Counter(
    PREFIX + 'missed_events', 'Events that were never delivered, found in Metadata and stored.', _QUEUE)
EVENTS_ACCEPTED = Counter(
    PREFIX + 'events_accepted', 'Events that the front door answered with a task id, repeated ones included.')
RECEIVE_REQUESTS = Counter(
    PREFIX + 'receive_requests', 'POSTs to /receive, by the HTTP status of the answer.', ('code',))
CONNECTIONS_REFUSED = Counter(
    PREFIX + 'connections_refused',
    'Connections that were refused because as many as allowed were open: in total, or from one address.', ('limit',))
SUBSCRIPTION_ENABLED = Gauge(
    PREFIX + 'subscription_enabled',
    'Whether subscribe --keep found or made its subscription enabled when it last looked; 0 if Notifications are away.',
    ('subscription',), multiprocess_mode='mostrecent')
SUBSCRIPTION_DISABLED = Counter(
    PREFIX + 'subscription_disabled', 'How often subscribe --keep found its subscription disabled, or gone.',
    ('subscription',))

DATABASE = {
    'database_up': (
        'Whether the database answered: without it the other gauges are absent.', ()),
    'events': (
        'Events in the table by status; 20000 stands for that many or more.', ('status',)),
    'queue_waiting_events': (
        'Events that wait for a worker or for their next attempt; 20000 stands for that many or more.', _QUEUE),
    'queue_oldest_age_seconds': (
        'Age of the oldest due event, in seconds since it was due; 0 if none is.', _QUEUE),
    'queue_longest_attempt_seconds': (
        'For how long the longest of the running attempts has been running; 0 if none is.', _QUEUE),
    'limited_running_events': (
        'Events that run of a route with a limit or turns.', (*_QUEUE, 'route')),
    'limited_waiting_events': (
        'Events that wait of a route with a limit or turns; who has many of them waits for the limit.',
        (*_QUEUE, 'route')),
    'outage_waiting_events': (
        'Events that wait for a service that is known to be away; 20000 stands for that many or more.', ('service',)),
    'outage_seconds': (
        'For how long a service has been known to be away.', ('service',)),
    'workers': (
        'Workers with a heartbeat within a day: present, or lost if silent for longer than their lease.',
        (*_QUEUE, 'engine', 'state')),
    'worker_slots': (
        'How many events the workers that are present can handle at the same time.', (*_QUEUE, 'engine')),
}
"""Gauges that are read from the database: name without prefix → help, labels."""

DISK = {
    'disk_free_bytes': (
        'Bytes that are free where a SQLite file lies (database) and in the directory for temporary files (staging).',
        ('what',)),
}
"""Gauges that the front door's own machine tells."""
