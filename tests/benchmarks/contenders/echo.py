"""A bare CherryPy service that answers a JSON POST with a value out of it: the ceiling for anything on CherryPy.

    python echo.py PORT
"""

import sys

import cherrypy


class Receive:
    """Answers POST."""

    exposed = True

    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def POST(self):
        """Return the event's id."""
        return cherrypy.request.json['eventID']


class Root:
    """The root."""

    exposed = True
    receive = Receive()


cherrypy.config.update({
    'server.socket_port': int(sys.argv[1]), 'server.thread_pool': 10, 'log.screen': False,
    'engine.autoreload.on': False,
})
cherrypy.tree.mount(Root(), '/', {'/': {'request.dispatch': cherrypy.dispatch.MethodDispatcher()}})
cherrypy.engine.signals.subscribe()
cherrypy.engine.start()
cherrypy.engine.block()
