"""What GMI's model detail says, as far as decisions need it (`GET …/models/{id}`: `parameters[]`, `price_info`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """One entry of `parameters[]`. `default` is `default_value`, None where the detail gives none.

    `options`, `minimum` and `maximum` (`options`, `min_value`, `max_value`) say what it may be; empty and None where
    they say nothing.
    """

    name: str
    type: str
    required: bool = False
    default: str | int | float | bool | None = None
    options: tuple[str | int | float | bool, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None


@dataclass(frozen=True, slots=True)
class PriceInfo:
    """`price_info`: `amount` is `price`, integer micro-USD; `unit` is `second`, `image`, `request` or another word."""

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class ModelDetail:
    """One model as its detail describes it."""

    model: str
    parameters: tuple[Parameter, ...] = ()
    price: PriceInfo | None = None
