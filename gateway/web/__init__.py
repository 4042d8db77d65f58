"""HTTP in and HTTP out: bytes become drafts, decisions become answers. Nothing is decided here."""
