"""What upstream tells about a model, and what the simulator must know to act as it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.simulator.timeline import Course, Status


class Shape(StrEnum):
    """The forms `outcome` takes once a job has ended."""

    VIDEO_URL = "video_url"
    MEDIA_URLS = "media_urls"
    AUDIO_URL = "audio_url"
    CANDIDATES = "candidates"
    CHOICES = "choices"
    ERROR_TEXT = "error text"
    ERROR_OBJECT = "error object"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One entry of a model's `parameters[]`; unset limits are left out on the wire, as upstream does."""

    name: str
    type: str = "string"
    required: bool = False
    description: str = ""
    default: str | int | float | bool | None = None
    options: tuple[str | int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def detail(self) -> dict[str, Any]:
        """The parameter as the model detail shows it."""
        detail: dict[str, Any] = {
            "name": self.name,
            "display_name": self.name.replace("_", " ").replace(".", " ").capitalize(),
            "description": self.description,
            "type": self.type,
            "required": self.required,
        }
        limits = {
            "default_value": self.default,
            "options": list(self.options) or None,
            "min_value": self.minimum,
            "max_value": self.maximum,
        }
        return detail | {name: value for name, value in limits.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model: its public detail, and how its jobs run and end."""

    id: str
    brief: str
    kind: str
    """`video`, `image`, `audio` or `text`: what comes out."""

    seconds: float
    """How long a job takes in production; infinite: it stays queued for ever."""

    shape: Shape
    artifacts: tuple[str, ...] = ()
    """Names of the files a finished job leaves; see `media.build`."""

    course: Course = "waiting"
    price: int | None = None
    """Millionths of a USD per `unit`; None: upstream names no price."""

    unit: str = "request"
    pricing_details: str = ""
    parameters: tuple[Parameter, ...] = ()
    vendor: str = "simulated-vendor"
    echoes_payload: bool = True

    @property
    def ending(self) -> Status:
        """How every job of this model ends."""
        return "failed" if self.shape in (Shape.ERROR_TEXT, Shape.ERROR_OBJECT) else "success"

    def missing(self, payload: dict[str, Any]) -> str | None:
        """The first required parameter the payload lacks."""
        required = (parameter.name for parameter in self.parameters if parameter.required)
        return next((name for name in required if name not in payload), None)

    def detail(self) -> dict[str, Any]:
        """The body of `GET /models/{id}`."""
        price = {"price": self.price, "unit": self.unit, "pricing_type": f"per_{self.unit}"}
        return {
            "model": self.id,
            "org_id": self.vendor,
            "brief_description": self.brief,
            "detailed_description": f"## {self.id}\n\n{self.brief}\n",
            "modalities": {"input": ["text"], "output": [self.kind]},
            "model_type": self.kind,
            "delivery_mode": "sync" if self.course == "inline" else "async",
            "tags": [self.kind],
            "price_info": None if self.price is None else price,
            "pricing_details": self.pricing_details,
            "parameters": [parameter.detail() for parameter in self.parameters],
        }
