"""The schemas of the OpenAPI document: what bodies look like, from the tables the code uses."""

from typing import Any

from gateway.core.decide import Verdict
from gateway.core.errors import Code
from gateway.core.policy import FILE_TYPES, Mode, Period, Unit

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_USD: Schema = {"type": "number", "description": "US dollars, exact to a millionth."}


def _object(properties: Schema, *optional: str, closed: bool = True) -> Schema:
    """An object that has all of these but the optional ones, and, if closed, nothing else."""
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    return schema | ({"additionalProperties": False} if closed else {})


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def reference(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _error() -> Schema:
    fields = {
        "error": {**_TEXT, "description": "One sentence that says what to do."},
        "code": {"type": "string", "enum": [code.value for code in Code], "description": "Absent in GMI's own errors."},
        "request_id": {**_TEXT, "description": "The call's `X-Request-ID`; in GMI's own errors, its job's id."},
        "rate_limit": _object(
            {"limit_type": _TEXT, "limit": _NUMBER, "interval_seconds": _COUNT, "retry_after_ms": _COUNT}, closed=False
        ),
        "quota": _object(
            {"name": _TEXT, "limit": _NUMBER, "used": _NUMBER, "unit": _unit(), "resets_at": _or_null(_INSTANT)}
        ),
        "price": _USD,
        "left": _USD,
        "parameter": _TEXT,
        "rule": _TEXT,
        "value": {},
    }
    return _object(fields, *(name for name in fields if name != "error"), closed=False)


def _unit() -> Schema:
    return {"type": "string", "enum": [unit.value for unit in Unit]}


def _record() -> Schema:
    fields = {
        "request_id": {**_TEXT, "format": "uuid"},
        "model": _TEXT,
        "status": {**_TEXT, "description": "GMI's word; `success`, `failed` and `cancelled` are final."},
        "payload": {"type": ["object", "null"]},
        "outcome": {"description": "Null until the job has ended; its shape is the model's."},
        "created_at": {**_NUMBER, "description": "Unix seconds."},
        "updated_at": _NUMBER,
        "queued_at": _NUMBER,
    }
    return _object(fields, *(name for name in fields if name not in ("request_id", "status")), closed=False)


def _model() -> Schema:
    price = _object({"price": _NUMBER, "unit": _TEXT, "pricing_type": _TEXT}, "pricing_type", closed=False)
    price["description"] = "`price` is in millionths of a US dollar."
    price["type"] = ["object", "null"]
    parameter = _object({"name": _TEXT}, closed=False)
    fields = {"model": _TEXT, "price_info": price, "parameters": _list(parameter)}
    return _object(fields, "price_info", "parameters", closed=False)


def _usage() -> Schema:
    limit = {
        "name": _TEXT,
        "limit": _NUMBER,
        "unit": _unit(),
        "window": {"type": "string", "enum": [period.value for period in Period]},
        "scope": {"type": "string", "enum": ["team", "key"]},
        "models": _list(_TEXT),
        "mode": {"type": "string", "enum": [mode.value for mode in Mode]},
        "used": _NUMBER,
        "remaining": _NUMBER,
        "resets_at": _or_null(_INSTANT),
    }
    by_model = {"type": "object", "additionalProperties": _object({"jobs": _COUNT, "usd": _USD})}
    month = _object({"jobs": _COUNT, "usd": _USD, "by_model": by_model})
    return _object({"team": _TEXT, "key": _TEXT, "limits": _list(_object(limit)), "month": month})


def _explanation() -> Schema:
    verdict = {"type": "string", "enum": [verdict.value for verdict in Verdict]}
    return _object(
        {
            "allowed": {"type": "boolean"},
            "code": {"type": ["string", "null"], "enum": [*(code.value for code in Code), None]},
            "error": _or_null(_TEXT),
            "price": _object({"usd": _or_null(_USD), "text": _TEXT}),
            "seconds": _COUNT,
            "steps": _list(_object({"rule": _TEXT, "verdict": verdict, "text": _TEXT})),
        }
    )


def schemas() -> Schema:
    """Every schema by its name."""
    return {
        "Error": _error(),
        "Create": _object({"model": _TEXT, "payload": {"type": "object"}}),
        "Record": _record(),
        "Records": _object({"requests": _list(reference("Record")), "has_more": {"type": "boolean"}, "total": _COUNT}),
        "Models": _object({"model_ids": _list(_TEXT)}, closed=False),
        "Model": _model(),
        "Upload": _object({"file_type": {"type": "string", "enum": list(FILE_TYPES)}}),
        "UploadURL": _object({"upload_url": _TEXT, "public_url": _TEXT}, closed=False),
        "Artifacts": _object({"artifacts": _list(_object({"name": _TEXT, "type": _TEXT, "url": _TEXT}))}),
        "Usage": _usage(),
        "Explanation": _explanation(),
    }
