"""No SQL is made of data: what is asked of PostgreSQL stands in the code, and values are parameters."""

import ast
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
# All else says nothing to a database; to parse it takes seconds.
_WORDS = re.compile(r"asyncpg|\b(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE)\b|\.(execute|fetch\w*)\(")
SOURCES = [path for path in sorted((ROOT / "services").rglob("*.py")) if _WORDS.search(path.read_text("utf-8"))]

# What asyncpg runs as SQL, in its first argument.
RUNS = {"execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval", "cursor", "prepare", "copy_from_query"}
# What copies rows into, or out of, a table of that name.
COPIES = {"copy_records_to_table", "copy_to_table", "copy_from_table"}
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP|ALTER|TRUNCATE|WITH|COPY|LOCK|SET|GRANT|DO|CALL)\s",
)

# Where a function puts SQL together, and of what. Whoever adds a line has looked at where each part comes from: never
# from a request, a row or the configuration. What a module puts together when it is imported is of our own code anyway.
PUT_TOGETHER = {
    "services.gateway.admin.usage: _sql",  # columns by a table of its own, asked for by number
    "services.gateway.loader.tables: _insert",  # columns that stand in services.gateway.loader.rows
    "services.gateway.loader.tables: Sums.add",  # the same
    "services.gateway.loader.tables: Sums.staged_as",  # the same
    "services.gateway.loader.tables: Sums.of_new",  # the same
    "services.gateway.loader.upkeep: Upkeep._drop",  # partitions as PostgreSQL names them, of our own months alone
}
# Where SQL, or a table's name, is run that was made elsewhere: by one of the above.
HANDED_ON = {
    "services.gateway.admin.store: Store.summed: sql",
    "services.gateway.quota.leases: Leases._ask: question",  # one of that module's constants
    "services.gateway.loader.store: Store._insert: sums.add",
    "services.gateway.loader.store: Store._insert: table.insert",
    "services.gateway.loader.store: Store._insert: table.staging",
    "services.gateway.loader.store: open_store: STAGING",
    "services.gateway.loader.upkeep: Upkeep._delete: statement",
    "services.gateway.loader.upkeep: Upkeep._drop: f-string",
}


def places(path: pathlib.Path) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a file with the qualified name of the definition that it is in; "" at the top."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, f"{name}.{child.name}".lstrip("."))
            else:
                yield name, child
                yield from walk(child, name)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def module(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def first_text(node: ast.AST) -> str:
    """What a string that is put together begins with; "" where that is not known, or nothing is put together."""
    match node:
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return text
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod() | ast.Add()):
            return text
        case ast.BinOp(left=ast.JoinedStr() as left, op=ast.Mod() | ast.Add()):
            return first_text(left)
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text
    return ""


def constants_of(path: pathlib.Path) -> set[str]:
    """Names that a module gives to something when it is imported."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def is_constant(said: ast.expr, constants: set[str]) -> bool:
    """Whether it was the same when the module was imported: text, a constant, or one of another module."""
    if isinstance(said, ast.BinOp):
        return is_constant(said.left, constants) and is_constant(said.right, constants)
    if isinstance(said, ast.Attribute):
        return isinstance(said.value, ast.Name) and said.attr.isupper()
    return isinstance(said, ast.Constant) or (isinstance(said, ast.Name) and said.id in constants)


def test_sql_is_put_together_only_where_each_part_has_been_looked_at() -> None:
    found = set()
    for path in SOURCES:
        for place, node in places(path):
            if place and SQL.match(first_text(node)):
                found.add(f"{module(path)}: {place}")
    assert found == PUT_TOGETHER


def test_what_is_run_is_a_constant_or_was_made_by_one_of_those() -> None:
    found = set()
    for path in SOURCES:
        constants = constants_of(path)
        for place, node in places(path):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in RUNS | COPIES
                and node.args
                and not is_constant(node.args[0], constants)
            ):
                said = node.args[0]
                shown = "f-string" if isinstance(said, ast.JoinedStr) else ast.unparse(said)
                found.add(f"{module(path)}: {place}: {shown}")
    assert found == HANDED_ON


def test_a_statement_of_data_would_be_found() -> None:
    [made, run] = [
        node
        for node in ast.walk(ast.parse("connection.fetch(f'SELECT * FROM keys WHERE owner = {owner}')"))
        if isinstance(node, ast.JoinedStr | ast.Call)
    ][::-1]
    assert SQL.match(first_text(made))
    assert isinstance(run, ast.Call)
    assert not is_constant(run.args[0], set())
