"""Lists of the Admin API, read to their last page.

A list is whole or an error: a page that comes twice, or an end before the promised count, is never
taken for the end. No item comes twice when the list moves while it is read.

Source: asp-reference.md 4.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from asp_utils.clients.atlas.messages import PROXY
from asp_utils.errors import UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ITEMS_PER_PAGE: Final = 500
"""The most that Atlas gives at once."""
_AGAIN: Final = "the list may have changed meanwhile: ask again"


def all_items(
    look: Callable[[Mapping[str, str]], Mapping[str, Any]], query: Mapping[str, str], name: str
) -> Iterator[dict[str, Any]]:
    """Every item of a list, in its order.

    Args:
        look: Gives the page that a query asks for.
        query: What else is asked.
        name: The request in words.

    Raises:
        UnexpectedReply: A reply is no list, or the list is not whole.
    """
    seen: set[bytes] = set()
    number = 1
    while True:
        asked = {**query, "itemsPerPage": str(ITEMS_PER_PAGE), "pageNum": str(number)}
        reply = look(asked)
        items = _items(reply, name)
        fresh = {key: item for item in items if (key := _key(item)) not in seen}
        repeats = bool(items) and not fresh
        if repeats and number > 1 and not _unpaged(reply, len(items)):
            raise _broken(f"{name}: page {number} holds nothing but items of earlier pages")
        seen |= fresh.keys()
        yield from fresh.values()
        if not fresh or _is_last(reply, len(seen)):
            _check_count(reply, len(seen), name)
            return
        number += 1


def _items(reply: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    items = reply.get("results")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        odd = f"{name}: the reply is no list of objects under `results`"
        raise UnexpectedReply(odd, hint=PROXY)
    return items


def _key(item: Mapping[str, Any]) -> bytes:
    """What tells an item from all others, even when its state moves."""
    named = item.get("_id") or item.get("id")
    return orjson.dumps(named or item, option=orjson.OPT_SORT_KEYS)


def _is_last(reply: Mapping[str, Any], seen_count: int) -> bool:
    """Whether nothing is to follow, by all that the reply says; else the next page shows it."""
    links, total = reply.get("links"), _total(reply)
    if _has_next(links):
        return False
    if total is not None:
        return seen_count >= total
    return isinstance(links, list) and bool(links)


def _unpaged(reply: Mapping[str, Any], count: int) -> bool:
    """Whether a server that says nothing of pages gives the whole list each time."""
    silent = _total(reply) is None and not reply.get("links")
    return silent and count < ITEMS_PER_PAGE


def _has_next(links: Any) -> bool:
    listed = links if isinstance(links, list) else []
    return any(isinstance(link, dict) and link.get("rel") == "next" for link in listed)


def _check_count(reply: Mapping[str, Any], seen_count: int, name: str) -> None:
    total = _total(reply)
    if total is not None and seen_count < total:
        raise _broken(f"{name}: the list ended after {seen_count} of {total} items")


def _total(reply: Mapping[str, Any]) -> int | None:
    total = reply.get("totalCount")
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def _broken(message: str) -> UnexpectedReply:
    return UnexpectedReply(message, hint=_AGAIN, retryable=True)
