"""A page for the person who started it: a Bokeh application on 127.0.0.1 that asks for the token in its link.

    page = Served(make, "A title", port=0)     # the link is known, nobody is served yet
    page.run()                                 # until page.stop(), Ctrl-C or SIGTERM

`make(document)` fills a `bokeh.document.Document`; it is called for every window that is opened. A window gets the page
without its document, and reads Bokeh's scripts while that is made; it asks for it over its websocket. Nothing is loaded
from another host. Whoever has not the token gets 403, from the page and from its websocket; static files (Bokeh's own
scripts, no data) are given to everybody.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import signal
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import typer
from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.embed.bundle import bundle_for_objs_and_resources
from bokeh.embed.elements import html_page_for_render_items
from bokeh.embed.util import RenderItem
from bokeh.protocol import Protocol
from bokeh.resources import Resources
from bokeh.server.auth_provider import AuthProvider
from bokeh.server.callbacks import PeriodicCallback
from bokeh.server.connection import ServerConnection
from bokeh.server.contexts import ApplicationContext
from bokeh.server.server import BaseServer
from bokeh.server.session import ServerSession
from bokeh.server.tornado import BokehTornado
from bokeh.server.util import bind_sockets
from bokeh.server.views.session_handler import SessionHandler
from bokeh.server.views.static_handler import StaticHandler
from bokeh.server.views.ws import WSHandler
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler, authenticated

from pipeline.volume import InputError
from workflows.pages.frame import PAGE

HOST = "127.0.0.1"

DRAIN = 2.0
"""Seconds that answers underway may take when all ends."""

TOKEN = "0123-the-token-of-a-session-4567"
"""Where the page has that of a window."""

SCRIPTS_FIRST = 0.05
"""Seconds in which a window asks for the scripts, before its document is made."""

SCRIPTS = ("bokeh", "bokeh-widgets")
"""Those of Bokeh that pages need: figures and widgets, no tables, WebGL or mathematics."""


class Served:
    """A page that is served, as long as `run` runs.

    Args:
        make: Fills the document of a window.
        title: Of the window.
        port: To listen on; 0 for a free one.

    Attributes:
        port: That it listens on.
        link: Of the page, with its token.

    Raises:
        InputError: The port cannot be had.
    """

    def __init__(self, make: Callable[[Document], None], title: str, port: int = 0):
        try:
            self._sockets, self.port = bind_sockets(HOST, port)
        except OSError as error:
            raise InputError(
                f"port {port} of {HOST} cannot be had: {error.strerror}; give another one, or none (--port)"
            ) from error
        token = secrets.token_urlsafe(24)
        self.link = f"http://{HOST}:{self.port}/?token={token}"
        self._door = _Door(token, f"chronovox_{self.port}")
        self._make, self._title = make, title
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Serves until it is told to stop. In the main thread Ctrl-C and SIGTERM do so."""
        sockets = logging.getLogger("bokeh.server.views.ws")
        sockets.addFilter(_tells)
        try:
            asyncio.run(self._serve())
        finally:
            sockets.removeFilter(_tells)

    def stop(self) -> None:
        """Ends `run`, from any thread; also one that has not begun."""
        self._ended.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def _serve(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        for number in signals:
            self._loop.add_signal_handler(number, self._told.set)
        application = _Application(
            {"/": _Unchecked(FunctionHandler(self._fill))},
            extra_websocket_origins=[f"{HOST}:{self.port}"],
            auth_provider=self._door,
            include_headers=[],
            include_cookies=[],
            log_function=_silent,
        )
        application.add_handlers(".*", [("/", _Window, application.window(self._title))])
        http = HTTPServer(application)
        http.add_sockets(self._sockets)
        server = BaseServer(IOLoop.current(), application, http)
        server.start()
        if not self._ended.is_set():
            await self._told.wait()
        server.stop()
        for session in server.get_sessions("/"):
            with suppress(TimeoutError):  # what is being sent is sent before
                await asyncio.wait_for(session.with_document_locked(_end_window, session), DRAIN)
        for connection, socket in list(application.open.items()):
            connection.session.unsubscribe(connection)  # nothing is sent to it any more
            socket.close(1001, "the server ends")
        await _others()
        await http.close_all_connections()
        await _others()
        self._loop = None

    def _fill(self, document: Document) -> None:
        document.title = self._title
        self._make(document)


def _end_window(session: ServerSession) -> None:
    """Ends what a window has running, as if it had been closed: callbacks, and threads beside it."""
    document = session.document
    ended, document.session_destroyed_callbacks = document.session_destroyed_callbacks, set()
    for callback in ended:
        callback(document.session_context)
    for callback in document.session_callbacks:
        if isinstance(callback, PeriodicCallback):
            document.remove_periodic_callback(callback)


def _tells(record: logging.LogRecord) -> bool:
    """Whether something is to be done: not where a window has gone while something was sent to it."""
    return "connection was closed" not in record.getMessage()


async def _others() -> None:
    """Lets everything else that is underway come to its end; what is cancelled instead tells of it in a traceback."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=DRAIN)


class _Unchecked(Application):
    """An application whose documents are not looked through for layouts that make no sense, which takes as long as a
    tenth of the first picture."""

    def initialize_document(self, doc: Document) -> None:
        for handler in self.handlers:
            handler.modify_document(doc)


class _Application(BokehTornado):
    """Bokeh's server, whose pages take Bokeh's scripts from itself, whatever the environment says, and only some.

    Attributes:
        open: The connections that there are, and the websocket of each.
    """

    def __init__(self, *arguments: Any, **named: Any):
        self.open: dict[ServerConnection, WSHandler] = {}
        super().__init__(*arguments, **named)

    def new_connection(
        self, protocol: Protocol, socket: WSHandler, application_context: ApplicationContext, session: ServerSession
    ) -> ServerConnection:
        connection = super().new_connection(protocol, socket, application_context, session)
        self.open[connection] = socket
        return connection

    def client_lost(self, connection: ServerConnection) -> None:
        self.open.pop(connection, None)
        super().client_lost(connection)

    def window(self, title: str) -> dict[str, Any]:
        """What a new window wants: where its document is made, and the page but for its token."""
        places = Resources(
            "server", root_url="/", components=list(SCRIPTS), path_versioner=StaticHandler.append_version
        )
        scripts = bundle_for_objs_and_resources(None, places)
        item = RenderItem(token=ID(TOKEN), use_for_title=True)
        page = html_page_for_render_items(scripts, {}, [item], title, template=PAGE)
        context = self._applications["/"]
        return {"application_context": context, "bokeh_websocket_path": "/ws", "page": page.split(TOKEN)}


class _Window(SessionHandler):
    """A window's page. Bokeh's own is sent when its document is made, which takes as long as the scripts to read."""

    def initialize(self, page: list[str], **_: Any) -> None:
        self._page = page

    @authenticated
    async def get(self) -> None:
        session = generate_session_id(secret_key=self.application.secret_key, signed=False)
        payload = {"headers": {}, "cookies": {}, "arguments": {}}
        token = generate_jwt_token(session, expiration=self.application.session_token_expiration, extra_payload=payload)
        self.set_header("Content-Type", "text/html")
        await self.finish(token.join(self._page))
        await asyncio.sleep(SCRIPTS_FIRST)
        await self.application_context.create_session_if_needed(session, self.request, token)


class _Door(AuthProvider):
    """Lets in who has the token: in the address, then in a cookie."""

    def __init__(self, token: str, cookie: str):
        self._token, self._cookie = token, cookie
        super().__init__()

    @property
    def get_user(self) -> None:
        return None

    @property
    def get_user_async(self) -> Callable:
        return self._admitted

    @property
    def get_login_url(self) -> Callable:
        return _refused

    async def _admitted(self, handler: RequestHandler) -> str:
        """Asked before any request is answered, a websocket's too."""
        if self._is_token(handler.get_query_argument("token", "")):
            handler.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
        elif not self._is_token(handler.get_cookie(self._cookie, "")):
            raise HTTPError(403, reason="Open the link that the command printed: it has the token")
        return "the person who has the link"

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _refused(handler: RequestHandler) -> str:
    del handler
    raise HTTPError(403)


def _silent(handler: RequestHandler) -> None:
    """Requests are not logged."""
    del handler


def serve(make: Callable[[Document], None], title: str, *, port: int = 0, open_browser: bool = False) -> None:
    """Serves a page, says where it is, and ends quietly with Ctrl-C or SIGTERM.

    Args:
        make: Fills the document of a window.
        title: Of the window.
        port: To listen on; 0 for a free one.
        open_browser: Whether to try to open a browser with it.

    Raises:
        InputError: The port cannot be had.
    """
    page = Served(make, title, port)
    typer.echo(f"{title}: {page.link}")
    typer.echo("Ctrl-C ends it.")
    if open_browser:
        threading.Thread(target=partial(webbrowser.open, page.link), daemon=True).start()
    page.run()
