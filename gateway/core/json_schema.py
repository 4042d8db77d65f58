"""The JSON Schema (2020-12) of a policy file, for editors: fields, types, words and what they mean.

It knows one file at a time and no arithmetic; `gateway.core.parse` is stricter.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.core.parse_fields import NAME_PATTERN
from gateway.core.parse_team import DEFAULT_FIELDS, TEAM_FIELDS
from gateway.core.policy import FILE_TYPES, Mode, Per, Scope, Unpriced

Schema = dict[str, Any]

_UNIT = "(requests?|jobs?|uploads?|seconds?|USD)"
_LIMIT_PATTERN = (
    rf"^\s*([0-9]+(\.[0-9]+)?\s+{_UNIT}\s+per\s+(second|minute|hour|day|week|month)|[0-9]+\s+jobs?\s+at\s+once)\s*$"
)
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"


def policy_schema() -> Schema:
    """The schema of one policy file, a new copy each time."""
    properties = _team_properties() | _gateway_properties()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gmi-gateway policy file",
        "description": "One team, or sections of the whole set (defaults, credentials, prices, …), or both.",
        **_table(properties),
        "minProperties": 1,
        "dependentRequired": {name: ["team"] for name in TEAM_FIELDS if name != "team"},
        "$defs": {
            "limit": _limit(),
            "limitText": _limit_text(),
            "source": _source(),
            "parameter": _parameter(),
            "models": _globs("Model patterns, case-sensitive: `*` is any run of characters, `?` any one.", ["Veo3*"]),
        },
    }


def _team_properties() -> Schema:
    return {
        "team": _name("The team's name: in metrics, logs and the usage pages.", "marketing"),
        "description": {
            "type": "string",
            "description": "What the team is, for people.",
            "examples": ["Launch films"],
        },
        "keys": _list(_key(), "The team's keys. Only their hashes stand here; `gmi-gateway keys new` adds one."),
        "overrides": _list(_override(), "Other amounts for limits, until a day."),
        **_inheritable(),
    }


def _inheritable() -> Schema:
    """What a team sets, or `defaults` for all that do not."""
    return {
        "timezone": {
            "type": "string",
            "description": "IANA time zone of the calendar windows and dates. Default UTC.",
            "examples": ["Europe/Berlin"],
        },
        "credential": _name("Which upstream key and organisation the team's calls use. Default `default`.", "default"),
        "models": _models(),
        "limits": _list({"$ref": "#/$defs/limit"}, "What the team may use. Every create is checked against all."),
        "payload": _list(_payload(), "Rules for the parameters of jobs; all that match the model apply."),
        "uploads": _uploads(),
        "duplicates": _duplicates(),
        "charge_failed": {"type": "boolean", "description": "Whether a job that fails keeps its money. Default false."},
        "job_timeout": _quantity("After it a job without end frees its slot; its money is kept.", "24 h"),
        "webhooks": _webhooks(),
        "notify": {
            "type": "string",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]://",
            "description": "Where a warning of a limit (`warn`) is posted, on one of the hosts of `webhooks`.",
            "examples": ["https://hooks.example.com/limits"],
        },
    }


def _gateway_properties() -> Schema:
    defaults = {name: schema for name, schema in _inheritable().items() if name in DEFAULT_FIELDS}
    return {
        "defaults": _table(defaults, "What every team inherits where it does not set it; limits one by one, by name."),
        "credentials": {
            "type": "object",
            "description": "Upstream keys and organisations, by name. `default` reads GMI_API_KEY and GMI_ORG_ID.",
            "propertyNames": {"pattern": NAME_PATTERN},
            "additionalProperties": _credential(),
        },
        "prices": _list(_price(), "What jobs cost; the first match wins, else the model's own `price_info`."),
        "unpriced": {
            "enum": list(Unpriced),
            "description": "What a team with a USD limit gets for a job whose price nobody knows. Default refuse.",
        },
        "queueing": _list(_queueing(), "How creates wait while upstream refuses a model; the first match counts."),
    }


def _key() -> Schema:
    properties = {
        "name": _name("Which of the team's keys: in logs and metrics.", "web"),
        "hash": {
            "type": "string",
            "pattern": "^sha256:[0-9a-fA-F]{64}$",
            "description": "SHA-256 of the key. The key itself stands nowhere.",
        },
        "expires": _date("From when on the key is refused. A date is the start of that day in the team's time zone."),
        "scopes": {
            **_list({"enum": list(Scope)}, "What the key may call. Default models, jobs and uploads."),
            "minItems": 1,
            "uniqueItems": True,
        },
    }
    return _table(properties, required=["name", "hash"])


def _models() -> Schema:
    globs = {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "examples": [["Veo3*"]]}
    properties = {
        "allow": {**globs, "description": "Patterns of the models the team may use. None allowed means none usable."},
        "deny": {**globs, "description": "Patterns of models it may not use after all: deny wins."},
    }
    return _table(properties, "Which models the team sees and may use.")


def _limit_text() -> Schema:
    return {
        "type": "string",
        "pattern": _LIMIT_PATTERN,
        "description": "`<number> <unit> per <period>` or `<number> jobs at once`; USD may have decimals.",
        "examples": ["200 jobs per day", "5 jobs at once", "500 USD per month", "600 requests per minute"],
    }


def _limit() -> Schema:
    properties = {
        **_limit_scope(),
        "mode": {"enum": list(Mode), "description": "`shadow` decides, counts and reports, and lets pass."},
        "warn": _list({"type": "string", "pattern": "^([1-9][0-9]?|100)%$"}, "Report when so much is used."),
    }
    return {"anyOf": [{"$ref": "#/$defs/limitText"}, _table(properties, required=["limit"])]}


def _limit_scope() -> Schema:
    return {
        "limit": {"$ref": "#/$defs/limitText"},
        "models": {"$ref": "#/$defs/models"},
        "per": {"const": "key", "description": "`key` gives every key of the team its own."},
        "name": _name("What the limit is called in answers and metrics. Default such as `jobs-day`.", "money"),
    }


def _override() -> Schema:
    properties = {
        **_limit_scope(),
        "until": _date("When the override ends."),
        "reason": {"type": "string", "description": "Why, for people.", "examples": ["launch week"]},
    }
    description = "The limit of the same unit, period, models and per (or of that name) has this amount until then."
    return _table(properties, description, required=["limit", "until", "reason"])


def _payload() -> Schema:
    parameters = {
        "type": "object",
        "description": "Rules by payload parameter.",
        "additionalProperties": {"$ref": "#/$defs/parameter"},
    }
    return _table({"models": {"$ref": "#/$defs/models"}, "parameters": parameters}, required=["models", "parameters"])


def _parameter() -> Schema:
    count = {"type": "integer", "minimum": 0}
    properties = {
        "required": {"type": "boolean", "description": "The payload must have it."},
        "forbidden": {"type": "boolean", "description": "The payload must not have it."},
        "one_of": {
            **_list(
                {"type": ["string", "number", "boolean", "null"]}, "The values it may have; 8 and '8' are the same."
            ),
            "minItems": 1,
        },
        "min": {"type": "number", "description": "The least it may be."},
        "max": {"type": "number", "description": "The most it may be."},
        "min_length": {**count, "description": "The fewest characters it may have."},
        "max_length": {**count, "description": "The most characters it may have."},
    }
    return {**_table(properties), "minProperties": 1}


def _uploads() -> Schema:
    types = _list({"enum": list(FILE_TYPES)}, "What may be uploaded. Default all.")
    properties = {
        "file_types": {**types, "uniqueItems": True},
        "relay": {"type": "boolean", "description": "Whether uploads and artifacts go through the gateway."},
        "max_size": {
            "type": ["string", "integer"],
            "description": "The largest upload through the gateway.",
            "examples": ["50 MiB"],
        },
    }
    return _table(properties, "Which files the team may upload.")


def _duplicates() -> Schema:
    window = _quantity("Within it an equal create gets the first one's answer. At most 24 h.", "30 s")
    return _table({"window": window}, "Equal creates in quick succession are one job.", required=["window"])


def _quantity(description: str, example: str) -> Schema:
    return {"type": ["string", "number"], "description": description, "examples": [example]}


def _webhooks() -> Schema:
    hosts = _globs("Hosts that may be named, such as `hooks.example.com` or `*.example.com`.", ["hooks.example.com"])
    properties = {"hosts": hosts, "secret": {"$ref": "#/$defs/source"}}
    return _table(
        properties, "Where the team's jobs may report to, with `X-Gateway-Webhook`.", required=["hosts", "secret"]
    )


def _credential() -> Schema:
    sources = {"type": "array", "items": {"$ref": "#/$defs/source"}, "minItems": 1}
    properties = {
        "api_key": {
            "anyOf": [{"$ref": "#/$defs/source"}, sources],
            "description": "Where the key is read. Of a list, the next one is tried when upstream answers 401.",
        },
        "organization": {
            "type": "string",
            "pattern": "^[!-~]{1,200}$",
            "description": "`env:NAME`, `file:/path`, or the organisation's id itself.",
        },
    }
    return _table(properties, required=["api_key"])


def _source() -> Schema:
    return {
        "type": "string",
        "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/\S+)$",
        "description": "Where a secret is read: `env:NAME` or `file:/path`. Never the secret itself.",
        "examples": ["env:GMI_API_KEY", "file:/run/secrets/gmi"],
    }


def _price() -> Schema:
    parameter = {"type": "string", "examples": ["durationSeconds"]}
    default = {"type": "number", "exclusiveMinimum": 0, "description": "How many where the payload does not say."}
    properties = {
        "models": {"$ref": "#/$defs/models"},
        "usd": {"type": "number", "minimum": 0, "description": "US dollars, to a millionth.", "examples": [0.4]},
        "per": {"enum": list(Per), "description": "What one price buys."},
        "seconds": {**parameter, "description": "The payload parameter with the seconds, for a price per second."},
        "images": {**parameter, "description": "The payload parameter with the images, for a price per image."},
        "characters": {
            **parameter,
            "description": "The payload parameter with the text, for a price per characters.",
        },
        "default_seconds": default,
        "default_images": default,
        "when": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "description": "Payload parameters and the values they must have for this price.",
        },
    }
    return _table(properties, required=["models", "usd", "per"])


def _queueing() -> Schema:
    fair = {"type": "boolean", "description": "Whether waiting creates are let through team by team."}
    return _table({"models": {"$ref": "#/$defs/models"}, "fair": fair}, required=["models", "fair"])


def _table(properties: Schema, description: str = "", required: Sequence[str] = ()) -> Schema:
    about: Mapping[str, Any] = {"description": description} if description else {}
    needed: Mapping[str, Any] = {"required": list(required)} if required else {}
    return {"type": "object", **about, **needed, "properties": properties, "additionalProperties": False}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "description": description, "items": items}


def _globs(description: str, example: list[str]) -> Schema:
    return {**_list({"type": "string"}, description), "minItems": 1, "uniqueItems": True, "examples": [example]}


def _name(description: str, example: str) -> Schema:
    return {"type": "string", "pattern": NAME_PATTERN, "description": description, "examples": [example]}


def _date(description: str) -> Schema:
    return {"type": "string", "pattern": _DATE, "description": description, "examples": ["2027-01-01"]}
