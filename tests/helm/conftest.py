"""The image, built once for the tests of one process."""

from tests.containers import image

__all__ = ["image"]
