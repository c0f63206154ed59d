"""Which functions of a package become operations, and which are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asp_utils.errors import Fault, NotFound
from asp_utils.introspection.registry import registry
from asp_utils.introspection.signature import DefinitionRefused

if TYPE_CHECKING:
    from asp_utils.introspection.specification import OperationSpec

pytestmark = pytest.mark.usefixtures("importable")


def library() -> tuple[dict[str, OperationSpec], dict[str, str]]:
    skipped: list[Fault] = []
    specs = registry("sample_library", skipped=skipped)
    assert [spec.name for spec in specs] == sorted(spec.name for spec in specs)
    reasons = dict(fault.message.split(": ", 1) for fault in skipped)
    return {spec.name: spec for spec in specs}, reasons


def test_every_annotated_public_function_is_an_operation() -> None:
    specs, _ = library()
    expected = {
        "broken", "colours", "count", "countdown", "echo", "exported", "fail", "greet", "later",
        "leaving", "noisy", "nothing", "point", "ranked", "remembered", "reveal", "shapeless",
        "shelf_books_load", "shelf_jars_load", "swallowed", "total", "typed", "unlimited",
    }  # fmt: skip
    assert set(specs) == expected


def test_marked_functions_keep_their_effect_and_others_write() -> None:
    specs, _ = library()
    effects = {name: specs[name].effect for name in ("echo", "count", "reveal", "fail", "greet")}
    assert effects == {
        "echo": "read", "count": "test", "reveal": "write", "fail": "destroy", "greet": "write",
    }  # fmt: skip


def test_what_cannot_be_called_is_left_out_with_a_reason() -> None:
    _, reasons = library()
    assert reasons == {
        "bare": "it has no annotations",
        "half": "parameter 'other' has no annotation",
        "lost": "an annotation cannot be resolved: name 'NoSuchType' is not defined",
        "parsed": "parameter 'fp' has a type that JSON cannot express",
        "cannot import sample_library.unimportable": "No module named 'a_package_that_nobody_has'",
    }


def test_a_function_is_reached_by_its_public_name() -> None:
    specs, _ = library()
    assert (specs["exported"].module, specs["exported"].attribute) == ("sample_library", "exported")


def test_equal_names_are_qualified_by_their_modules() -> None:
    specs, _ = library()
    assert specs["shelf_books_load"].module == "sample_library.shelf.books"
    assert specs["shelf_books_load"].attribute == specs["shelf_jars_load"].attribute == "load"


def test_all_faults_of_marked_functions_are_named_at_once_with_file_and_line() -> None:
    with pytest.raises(DefinitionRefused) as caught:
        registry("sample_faulty")
    messages = {fault.message for fault in caught.value.faults}
    assert messages == {
        "no_annotation: parameter 'value' has no annotation",
        "no_description: parameter 'value' has no description",
        "no_return: has no return type",
        "no_docstring: has no docstring",
        "swallowed: parameter 'schema' has a name that pydantic keeps for itself",
        "swallowed: parameter '_own' has a name that pydantic keeps for itself",
        "not_json: parameter 'value' has a type that JSON cannot express",
        "collects: parameter 'values' collects arguments; name each one",
        "unresolved: an annotation cannot be resolved: name 'Nowhere' is not defined",
        *(message for message in messages if "the name is used already, at" in message),
    }
    assert len(messages) == 11
    files = {fault.path.rpartition("/")[2].partition(":")[0] for fault in caught.value.faults}
    assert files == {"wrong.py", "twice_again.py"}
    assert all(fault.path.rpartition(":")[2].isdigit() for fault in caught.value.faults)


def test_a_package_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(NotFound, match="a_package_that_nobody_has"):
        registry("a_package_that_nobody_has")


def test_a_single_module_is_a_package_too() -> None:
    assert [spec.name for spec in registry("sample_library.shelf.jars")] == ["load"]
