"""Header fields as bytes, as they are on the wire; names in lower case."""

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]

CLOSE: Header = (b"connection", b"close")
"""On an answer: it is the connection's last."""

JSON: Header = (b"content-type", b"application/json")
