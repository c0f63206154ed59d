"""No name, default or docstring of a library can break what is generated from it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asp_utils.generation.help_text import help_text, printable
from asp_utils.generation.shapes import json_bytes, schema_document
from asp_utils.generation.wrappers import docstring, quoted, templates, wrapper_text
from asp_utils.introspection.signature import introspect

if TYPE_CHECKING:
    from asp_utils.introspection.specification import OperationSpec

ENVIRONMENT = templates(Path(__file__).parents[2] / "templates")
HOSTILE = st.text(
    st.sampled_from(list("\"'\\\n\r\t {}%#$`éß漢😀\x00\x0c\x1b\u2028\u202e\ud800\udfffn x")),
    max_size=40,
) | st.text(st.characters(), max_size=40)
FORMAT = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff"]
FORMAT += ["--line-length=100"]
IDENTIFIERS = st.from_regex(r"[^\W\d]\w{0,8}", fullmatch=True).filter(str.isidentifier)
DEFAULTS = st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE | st.lists(HOSTILE)


def hostile_spec(name: str, text: str, default: Any) -> OperationSpec:
    """An operation of a function that has these texts."""

    def function(value: Any = default) -> Any:
        return value

    function.__doc__ = text
    function.__name__ = name
    spec = introspect(function, name=name, module="some.module", attribute=name)
    return spec


@given(HOSTILE)
@example('"""')
@example('""""')
@example("\\")
def test_quoted_text_reads_back(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text


@given(HOSTILE)
@example('ends with "')
@example('four """" quotes')
def test_docstrings_read_back_and_are_printable(text: str) -> None:
    shown = printable(f"x{text}")
    assert ast.literal_eval(docstring(shown)) == shown
    assert all(char.isprintable() for char in shown.replace("\n", ""))


@given(IDENTIFIERS, HOSTILE, DEFAULTS)
def test_generated_python_parses_and_holds_the_help(name: str, text: str, default: Any) -> None:
    spec = hostile_spec(name, text, default)
    source = wrapper_text(spec, ENVIRONMENT)
    tree = ast.parse(source.encode())
    assert ast.get_docstring(tree, clean=False) == help_text(spec)
    call = tree.body[-1]
    assert isinstance(call, ast.Expr)
    constants = [it.value for it in ast.walk(call) if isinstance(it, ast.Constant)]
    assert constants == ["some.module", spec.attribute]


@given(IDENTIFIERS, HOSTILE, DEFAULTS)
def test_schemas_are_json(name: str, text: str, default: Any) -> None:
    document = schema_document(hostile_spec(name, text, default))
    assert json.loads(json_bytes(document)) == json.loads(json.dumps(document))


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(IDENTIFIERS, HOSTILE, DEFAULTS), min_size=20, max_size=20))
def test_formatter_and_interpreter_agree_with_the_generator(
    cases: list[tuple[str, str, Any]],
) -> None:
    with TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            text = wrapper_text(hostile_spec(*case), ENVIRONMENT)
            Path(folder, f"cli_{number}.py").write_text(text, newline="")
        done = subprocess.run(
            [*FORMAT, folder],
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
