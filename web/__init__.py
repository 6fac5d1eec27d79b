"""Web: the public pages, one ASGI app."""
