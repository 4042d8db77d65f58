"""Sockets, bytes and signals: an ASGI app served over HTTP/1.1 to clients who may be hostile.

llhttp (through httptools) parses; everything it leaves open is closed here:
how much may be sent, how long it may take, which framings are refused, and how a process drains.
"""
