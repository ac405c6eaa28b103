"""What moves files: bundles and carts, and the services that take and give them.

Called by the runners and by staging. The only package where an HTTP client enters, by its modules ``service`` and
``bundle``; so the runners import these two, and what builds on them, inside the functions that need them.
"""
