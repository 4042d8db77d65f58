"""Header fields as bytes, as they are on the wire; names in lower case."""

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]

JSON: Header = (b"content-type", b"application/json")
