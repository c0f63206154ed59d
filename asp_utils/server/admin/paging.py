"""Pages of lists: `itemsPerPage`, `pageNum`, `includeCount`, and the links between pages.

Source: asp-reference.md 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asp_utils.errors import Fault
from asp_utils.server.admin.failures import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.datastructures import URL

PAGING_PARAMETERS: Final = ("itemsPerPage", "pageNum", "includeCount")
_DEFAULT_ITEMS: Final = 100
_MAX_ITEMS: Final = 500
_MAX_DIGITS: Final = 9


@dataclass(frozen=True)
class Paging:
    """Which part of a list is asked for."""

    items_per_page: int = _DEFAULT_ITEMS
    page_num: int = 1
    """Counts from 1."""
    include_count: bool = True

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Paging:
        """What a query asks for.

        Raises:
            ApiFailure: One or more of the three are wrong.
        """
        faults: list[Fault] = []
        paging = cls(
            _number(query, "itemsPerPage", _DEFAULT_ITEMS, _MAX_ITEMS, faults),
            _number(query, "pageNum", 1, None, faults),
            read_flag(query, "includeCount", default=True, faults=faults),
        )
        if faults:
            raise invalid(faults)
        return paging

    def page(self, items: Sequence[dict[str, Any]], url: URL) -> dict[str, Any]:
        """The reply that holds one page of `items`; `url` is the request's own."""
        first = (self.page_num - 1) * self.items_per_page
        last = first + self.items_per_page
        neighbours = [("self", 0)]
        if last < len(items):
            neighbours.append(("next", 1))
        if self.page_num > 1:
            neighbours.append(("previous", -1))
        body: dict[str, Any] = {
            "links": [
                {"href": self._address(url, self.page_num + step), "rel": rel}
                for rel, step in neighbours
            ],
            "results": list(items[first:last]),
        }
        return {**body, "totalCount": len(items)} if self.include_count else body

    def _address(self, url: URL, page_num: int) -> str:
        others = url.remove_query_params(["pageNum", "itemsPerPage"])
        return str(others.include_query_params(pageNum=page_num, itemsPerPage=self.items_per_page))


def read_flag(
    query: Mapping[str, str], name: str, *, default: bool = False, faults: list[Fault]
) -> bool:
    """A query parameter that is `true` or `false`; a fault is added for anything else."""
    given = query.get(name)
    if given is None:
        return default
    if given not in ("true", "false"):
        faults.append(Fault(name, f"must be true or false, not {given[:40]!r}"))
    return given == "true"


def _number(
    query: Mapping[str, str], name: str, default: int, highest: int | None, faults: list[Fault]
) -> int:
    given = query.get(name)
    if given is None:
        return default
    fits = given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS
    if not fits or int(given) < 1 or (highest is not None and int(given) > highest):
        bounds = f"from 1 to {highest}" if highest else "from 1"
        faults.append(Fault(name, f"must be a whole number {bounds}, not {given[:40]!r}"))
        return default
    return int(given)
