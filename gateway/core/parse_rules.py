"""What a team's payloads, uploads and webhooks may be."""

from collections.abc import Iterable

from gateway.core.addresses import HOST_PATTERN, Target, read_target
from gateway.core.nodes import Node, Report, Scalar, Table, show
from gateway.core.parse_fields import Fields, read_fields
from gateway.core.parse_sources import read_source
from gateway.core.policy import FILE_TYPES, JOB_TIMEOUT, ParameterRule, PayloadRule, Uploads, Webhooks
from gateway.core.quantities import parse_duration, parse_size

PAYLOAD_FIELDS = ("models", "parameters")
PARAMETER_FIELDS = ("required", "forbidden", "one_of", "min", "max", "min_length", "max_length")
UPLOADS_FIELDS = ("file_types", "relay", "max_size")
DUPLICATES_FIELDS = ("window",)
WEBHOOKS_FIELDS = ("hosts", "secret")

LONGEST_WINDOW = 86400.0
"""Seconds an equal create may return the first job: what an idempotency key lives, too."""


def read_payload(items: Iterable[Node], report: Report) -> tuple[PayloadRule, ...]:
    """The payload rules: every one whose models match applies."""
    rules = []
    for item in items:
        fields = read_fields(item, PAYLOAD_FIELDS, "a payload rule", report)
        if fields is None:
            continue
        fields.require("models", "parameters")
        parameters = _read_parameters(fields.nodes["parameters"], report) if fields.has("parameters") else ()
        rules.append(PayloadRule(fields.globs("models"), parameters))
    return tuple(rules)


def _read_parameters(node: Node, report: Report) -> tuple[ParameterRule, ...]:
    if not isinstance(node, Table):
        report.error(node.mark, "`parameters` must be a table of payload parameters and their rules")
        return ()
    read = (_read_parameter(key, value, report) for key, value in node.entries)
    return tuple(rule for rule in read if rule is not None)


def _read_parameter(key: Scalar, node: Node, report: Report) -> ParameterRule | None:
    fields = read_fields(node, PARAMETER_FIELDS, f"the rule for {show(key.text)}", report)
    if fields is None:
        return None
    rule = ParameterRule(
        name=key.text,
        required=fields.flag("required", default=False),
        forbidden=fields.flag("forbidden", default=False),
        one_of=_read_values(fields),
        minimum=fields.number("min"),
        maximum=fields.number("max"),
        min_length=fields.count("min_length"),
        max_length=fields.count("max_length"),
    )
    _check_parameter(rule, fields)
    return rule


def _read_values(fields: Fields) -> tuple[str | int | float | bool | None, ...]:
    items = fields.items("one_of")
    fields.require_items("one_of", "; `forbidden: true` allows no value")
    for item in items:
        if not isinstance(item, Scalar):
            fields.report.error(item.mark, "each of `one_of` must be text, a number, true, false or null")
    return tuple(item.value for item in items if isinstance(item, Scalar))


def _check_parameter(rule: ParameterRule, fields: Fields) -> None:
    """A rule that says nothing, or that no payload could meet, is an error."""
    if not fields.nodes:
        fields.report.error(fields.mark, f"the rule for {show(rule.name)} says nothing: give it one, or leave it out")
    if rule.forbidden and len(fields.nodes) > 1:
        fields.report.error(fields.mark, f"{show(rule.name)} is forbidden: the other rules for it have no meaning")
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        fields.report.error(fields.place("min"), f"`min` is more than `max`: {show(rule.name)} could have no value")
    if rule.min_length is not None and rule.max_length is not None and rule.min_length > rule.max_length:
        problem = f"`min_length` is more than `max_length`: {show(rule.name)} could have no value"
        fields.report.error(fields.place("min_length"), problem)


def read_uploads(node: Node | None, report: Report) -> Uploads:
    """Which files may be uploaded, and whether they go through the gateway."""
    fields = read_fields(node, UPLOADS_FIELDS, "`uploads`", report) if node is not None else None
    if fields is None:
        return Uploads()
    size = fields.quantity("max_size", parse_size, Uploads().max_size)
    if size < 1:
        report.error(
            fields.place("max_size"), "`max_size` must be at least one byte; `file_types: []` allows no upload"
        )
    file_types = fields.words("file_types", FILE_TYPES) if fields.has("file_types") else Uploads().file_types
    relay = fields.flag("relay", default=False)
    if fields.has("max_size") and not relay:
        mark, problem = fields.place("max_size"), "without `relay: true`: files of any size go straight to GMI"
        report.warn(mark, "not-in-effect", f"`max_size` has no effect {problem}")
    return Uploads(file_types, relay, size)


def read_duplicates(node: Node | None, report: Report) -> float:
    """The seconds within which an equal create returns the first job; 0 never."""
    fields = read_fields(node, DUPLICATES_FIELDS, "`duplicates`", report) if node is not None else None
    if fields is None or not fields.require("window"):
        return 0.0
    window = fields.quantity("window", parse_duration, 0.0)
    if window > LONGEST_WINDOW:
        report.error(fields.place("window"), "`window` must be at most `24 h`")
    return window


def read_job_timeout(fields: Fields) -> float:
    """The seconds after which a job without end frees its slot."""
    timeout = fields.quantity("job_timeout", parse_duration, JOB_TIMEOUT)
    if timeout <= 0:
        fields.report.error(fields.place("job_timeout"), "`job_timeout` must be more than `0 s`")
    return timeout


def read_webhooks(node: Node | None, report: Report) -> Webhooks | None:
    """The hosts a team's jobs may report to, and the secret that signs."""
    fields = read_fields(node, WEBHOOKS_FIELDS, "`webhooks`", report) if node is not None else None
    if fields is None:
        return None
    fields.require("hosts", "secret")
    for item in fields.texts("hosts"):
        if not HOST_PATTERN.fullmatch(item.text):
            problem = f"{show(item.text)} is not a lower-case host name such as `hooks.example.com` or `*.example.com`"
            report.error(item.mark, problem)
    secret = read_source(fields.nodes["secret"], "secret", report) if fields.has("secret") else None
    return Webhooks(fields.globs("hosts"), secret) if secret is not None else None


def read_notify(fields: Fields, webhooks: Webhooks | None) -> Target | None:
    """Where the team's warnings go: a URL on one of the hosts of its webhooks, whose secret signs them."""
    url = fields.text("notify")
    if url is None:
        return None
    if webhooks is None:
        problem = "`notify` needs `webhooks`, whose `hosts` must list its host and whose `secret` signs what is sent"
        fields.report.error(fields.place("notify"), problem)
        return None
    try:
        return read_target(url, webhooks.hosts)
    except ValueError as error:
        fields.report.error(fields.place("notify"), f"`notify` {error}")
        return None
