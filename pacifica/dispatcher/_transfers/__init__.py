"""Transfers of files: bundles and carts, and the clients of the services that take and give them.

An HTTP client enters by the modules ``service`` and ``bundle``; so the runners import these two, and what builds on
them, inside the functions that need them.
"""
