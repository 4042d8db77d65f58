"""The habits of the house, checked: small files, small functions, one home per library, tests that mirror modules."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "gateway").rglob("*.py"))
HOMES = {
    "starlette": ("web", "app", "simulator"),
    "httpx": ("upstream", "outbound", "storage"),
    "sqlalchemy": ("ledger",),
    "alembic": ("ledger",),
    "prometheus_client": ("telemetry", "web"),
    "opentelemetry": ("telemetry",),
    "jinja2": ("web",),
    "cachetools": ("cache", "memory"),
    "yaml": ("policies",),
    "shtab": ("cli",),
    "uvicorn": ("simulator",),
}
EDGES = {
    "gateway/web/public.py",
    "gateway/web/admin/app.py",
    "gateway/ledger/writer.py",
    "gateway/ledger/writers.py",
    "gateway/admission.py",
    "gateway/server/exchange.py",
}
"""Where everything is caught: somebody is owed an answer or a job in any case, or an operation must fail alone."""


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_a_room_not_a_hall(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_function_can_be_read_at_once(path: Path) -> None:
    for function in functions(path):
        arguments = function.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
        assert length(function) <= 60, function.name
        assert count <= 6, function.name


def test_nearly_all_functions_are_short() -> None:
    lengths = sorted(length(function) for path in MODULES for function in functions(path))
    assert lengths[int(len(lengths) * 0.95)] <= 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_global_and_no_broad_except_but_at_the_edges(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Global)
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            broad = caught in ("everything", "Exception", "BaseException")
            assert not broad or name_of(path) in EDGES, f"line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_library_has_one_home(path: Path) -> None:
    room = path.relative_to(ROOT / "gateway").parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            homes = HOMES.get(name.split(".")[0])
            assert homes is None or room in homes, f"{name} belongs in {homes}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_wait_loses_a_cancellation(path: Path) -> None:
    """`asyncio.wait_for` of Python 3.11 returns what has just come, though it was cancelled; `asyncio.timeout` ends."""
    assert "asyncio.wait_for(" not in path.read_text()


def test_imports_stand_at_the_top() -> None:
    for path in MODULES:
        for function in functions(path):
            inside = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not inside, f"{name_of(path)}: {function.name}"


def test_every_module_has_its_tests() -> None:
    missing = [name_of(path) for path in MODULES if path.name != "__init__.py" and not mirror_of(path).exists()]
    assert not missing, "without a test file: " + ", ".join(missing)


def mirror_of(path: Path) -> Path:
    """Where the tests of a module stand."""
    return (ROOT / "tests" / path.relative_to(ROOT / "gateway")).with_name(f"test_{path.name.replace('__', '')}")


def test_the_top_level_holds_what_it_should() -> None:
    allowed = {
        *("pyproject.toml", "Dockerfile", "gateway", "policies", "tests", "helm", "README.md", "Makefile"),
        *("CHANGELOG.md", "LICENSE", "requirements.lock", "docs"),
    }
    made = {"build", "dist", "htmlcov"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in found - allowed - made if not name.endswith((".egg-info", ".db", "-wal", "-shm"))} == set()
