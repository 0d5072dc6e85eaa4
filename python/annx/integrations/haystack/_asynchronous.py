"""The document store's methods as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


def _threaded(name: str) -> Callable[..., Awaitable[Any]]:
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Searches and writes release the GIL, so that a thread is all that is needed.
        return await asyncio.to_thread(getattr(self, name), *args, **kwargs)

    run.__name__ = f"{name}_async"
    run.__doc__ = f"As `{name}`, in a thread."
    return run


class Asynchronous:
    """Each method that Haystack may await."""

    count_documents_async = _threaded("count_documents")
    filter_documents_async = _threaded("filter_documents")
    write_documents_async = _threaded("write_documents")
    delete_documents_async = _threaded("delete_documents")
    delete_all_documents_async = _threaded("delete_all_documents")
    delete_by_filter_async = _threaded("delete_by_filter")
    update_by_filter_async = _threaded("update_by_filter")
    count_documents_by_filter_async = _threaded("count_documents_by_filter")
    count_unique_metadata_by_filter_async = _threaded("count_unique_metadata_by_filter")
    get_metadata_fields_info_async = _threaded("get_metadata_fields_info")
    get_metadata_field_min_max_async = _threaded("get_metadata_field_min_max")
    get_metadata_field_unique_values_async = _threaded("get_metadata_field_unique_values")
    search_async = _threaded("search")
