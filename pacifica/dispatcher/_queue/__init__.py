"""The peewee-backed event queue: statuses, schema, and every SQL statement."""
