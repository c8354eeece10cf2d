"""The server: an ASGI application over one workspace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool

from unnoise.app import jobs
from unnoise.app.refusals import HANDLERS
from unnoise.app.routes import files, folders, pages, runs, tasks, uploads
from unnoise.app.security import Access, SecurityMiddleware
from unnoise.app.tasks import Worker
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import UnnoiseError

_TICK = 1.0
"""Seconds between two looks at the queue."""


def create_app(workspace: Workspace, access: Access) -> Starlette:
    """The application that serves a workspace.

    Args:
        workspace: all that it reads and writes.
        access: who may use it.
    """
    app = Starlette(
        routes=[
            *runs.ROUTES,
            *tasks.ROUTES,
            *folders.ROUTES,
            *uploads.ROUTES,
            *files.ROUTES,
            *pages.ROUTES,
        ],
        exception_handlers=HANDLERS,
        lifespan=_lifespan,
    )
    app.add_middleware(SecurityMiddleware, access=access)
    app.state.workspace = workspace
    app.state.worker = Worker(workspace)
    app.state.closing = asyncio.Event()
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """While the server runs: it advances the queue, and looks after the worker."""
    ticking = asyncio.create_task(_tick(app))
    try:
        yield
    finally:
        app.state.closing.set()
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        await run_in_threadpool(app.state.worker.close)


async def _tick(app: Starlette) -> None:
    while True:
        with suppress(UnnoiseError, OSError, TimeoutError):  # tried again in a second
            await run_in_threadpool(jobs.advance, app.state.workspace)
            await run_in_threadpool(app.state.worker.look_after)
        await asyncio.sleep(_TICK)
