"""The subscription at Pacifica Notifications that sends events to a receiver: what ``subscribe`` and ``doctor`` know.

:mod:`.notifications` speaks to the service, :mod:`.receiver` looks whether a receiver is up, :mod:`.ensure` makes the
subscription what it should be, once, and :mod:`.keeper` over and over. :mod:`.options` is the command's.
"""
