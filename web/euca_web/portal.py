"""`nouns.Interface`: the application behind a listener of its own."""

from __future__ import annotations

from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.http.flow import Flowing
from euca_rpc.http.listener import Listener, Patience
from euca_rpc.nouns import Core

from .application import make_application
from .incoming import MOST_SMALL
from .routes import FLOWING
from .settings import PortalSettings


class PortalInterface:
    name = "portal"

    def __init__(self, core: Core, settings: PortalSettings) -> None:
        self.settings = settings
        self.port = settings.port
        self._application = make_application(core, settings)
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        return f"https://{self.settings.host}:{self.port}"

    def start(self) -> None:
        """Serves when it returns, or has left nothing behind."""
        said = self.settings
        if not Path(said.certificate).exists():
            raise EucaError(
                "config_invalid",
                f"The portal's certificate {said.certificate} is not there: `euca init` makes one, or name yours in "
                "[interface.portal].",
            )
        self._listener = Listener(
            "The portal",
            self._application,
            (said.host, said.port),
            said.threads,
            Patience(said.request_seconds, said.answer_seconds, said.idle_seconds),
            (said.certificate, said.key),
            flowing=Flowing(FLOWING, (said.upload_gb << 30) + MOST_SMALL),
        )
        self.port = self._listener.port
        self._listener.start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
