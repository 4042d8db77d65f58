"""Parts of a policy in words, for people who compare two of them. No secret is in any of them, and no key's hash.

Parts that mean the same have the same words: what has no order is put into one.
"""

from gateway.core.addresses import Target
from gateway.core.money import format_usd
from gateway.core.policy import (
    FILE_TYPES,
    Credential,
    Key,
    Limit,
    Mode,
    ParameterRule,
    Per,
    Price,
    Scope,
    Source,
    Uploads,
    Webhooks,
)
from gateway.core.wording import instant_words, limit_words


def limit_text(limit: Limit, now: float, timezone: str) -> str:
    """`900.00 USD per month until 2027-01-01 00:00 UTC, then 500.00 USD per month, warns at 50 %`."""
    text = limit_words(limit, limit.ceiling(now))
    instant = now
    while override := next((each for each in limit.overrides if instant < each.until), None):
        instant = override.until
        text += f" until {instant_words(instant, timezone)}, then {limit_words(limit, limit.ceiling(instant))}"
    if limit.models:
        text += f", for {', '.join(sorted(limit.models))} alone"
    if limit.per_key:
        text += ", each key its own"
    if limit.mode is Mode.SHADOW:
        text += ", only reported (shadow)"
    if limit.warn:
        text += f", warns at {', '.join(f'{percent} %' for percent in limit.warn)}"
    return text


def key_text(key: Key, now: float, timezone: str) -> str:
    """`models, jobs, expires 2027-01-01 00:00 UTC`."""
    scopes = ", ".join(scope for scope in Scope if scope in key.scopes)
    if key.expires is None:
        return f"{scopes}, never expires"
    word = "expired" if key.has_expired(now) else "expires"
    return f"{scopes}, {word} {instant_words(key.expires, timezone)}"


def rule_text(rule: ParameterRule) -> str:
    """`required, at most 8`: what the parameter must be."""
    parts = [word for word in ("required", "forbidden") if getattr(rule, word)]
    if rule.one_of:
        parts.append(f"one of {', '.join(map(_literal, rule.one_of))}")
    bounds = {"at least": rule.minimum, "at most": rule.maximum}
    lengths = {"length at least": rule.min_length, "length at most": rule.max_length}
    parts += [f"{words} {bound}" for words, bound in (bounds | lengths).items() if bound is not None]
    return ", ".join(parts)


def price_text(price: Price) -> str:
    """`Veo3: 0.40 USD per second by durationSeconds, 8 where it says none`."""
    text = f"{', '.join(sorted(price.models))}: {format_usd(price.amount)} USD per {price.per}"
    if price.quantity_field is not None and price.per is not Per.JOB:
        text += f" by {price.quantity_field}"
    if price.default_quantity is not None:
        text += f", {price.default_quantity} where it says none"
    if price.when:
        text += f", when {', '.join(f'{name} is {_literal(value)}' for name, value in price.when.items())}"
    return text


def credential_text(credential: Credential) -> str:
    """`key from env:GMI_API_KEY, organisation from env:GMI_ORG_ID`."""
    text = f"key from {', then '.join(map(source_text, credential.api_keys))}"
    return text + (f", organisation from {source_text(credential.organization)}" if credential.organization else "")


def source_text(source: Source) -> str:
    """Where a secret is read. An organisation written into the policies is not repeated."""
    return "the policies" if source.kind == "text" else f"{source.kind}:{source.value}"


def uploads_text(uploads: Uploads) -> str:
    """`png, jpeg, up to 50 MiB`."""
    types = ", ".join(name for name in FILE_TYPES if name in uploads.file_types) or "no file type"
    return f"{types}, up to {uploads.max_size / 1024**2:g} MiB{', relayed' if uploads.relay else ''}"


def webhooks_text(webhooks: Webhooks | None) -> str:
    """`to *.example.com, signed with env:SECRET`."""
    if webhooks is None:
        return "none"
    return f"to {', '.join(webhooks.hosts)}, signed with {source_text(webhooks.secret)}"


def notify_text(target: Target | None) -> str:
    """`https://hooks.example.com/limits`, without its query."""
    return "nobody" if target is None else f"https://{target.host}{target.path.partition('?')[0]}"


def _literal(value: str | float | None) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
