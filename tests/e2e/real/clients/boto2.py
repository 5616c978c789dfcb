"""boto 2.49 with each signature that it ever had, and versions of the API from the time of each."""

from __future__ import annotations

import time
import warnings
from typing import Any

from . import Proof, Refused, Shown

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from boto.ec2.connection import EC2Connection
    from boto.ec2.regioninfo import RegionInfo
    from boto.exception import EC2ResponseError


class Boto2:
    """Signature 2, exactly as `boto.connect_euca` makes it."""

    expired = "RequestExpired"
    capability = "ec2"  # boto's own name for the signature
    version: str | None = None  # boto's own choice

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None:
        capability = self.capability

        class Connection(EC2Connection):  # type: ignore[misc]
            def _required_auth_capability(self) -> list[str]:
                return [capability]

        self._ec2 = Connection(
            proof.access_key,
            proof.secret_key,
            port=real.port,
            path="/services/Eucalyptus",
            is_secure=False,
            region=RegionInfo(name="eucalyptus", endpoint="127.0.0.1"),
            api_version=self.version,
        )
        assert capability in self._ec2._auth_handler.capability
        if late:
            self._slow(self._ec2._auth_handler, late)

    def _slow(self, handler: Any, late: int) -> None:
        """The last thing that a handler does before it signs is done by a slow clock."""
        calculate = handler._calc_signature

        def slow(params: Any, *more: Any) -> Any:
            params["Timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - late))
            return calculate(params, *more)

        handler._calc_signature = slow

    def _ask(self, verb: str, *words: Any, **more: Any) -> Any:
        try:
            return getattr(self._ec2, verb)(*words, **more)
        except EC2ResponseError as error:
            raise Refused(str(error.error_code), str(error.error_message)) from None

    def zones(self) -> list[str]:
        return [it.name for it in self._ask("get_all_zones")]

    def images(self) -> list[str]:
        return [it.id for it in self._ask("get_all_images")]

    def make_key(self, name: str) -> str:
        return str(self._ask("create_key_pair", name).material)

    def key_names(self) -> list[str]:
        return [it.name for it in self._ask("get_all_key_pairs")]

    def run(self, image: str, key: str, zone: str) -> str:
        made = self._ask("run_instances", image, key_name=key, instance_type="m1.small", placement=zone)
        return str(made.instances[0].id)

    def describe(self, id: str) -> Shown:
        (it,) = self._ask("get_only_instances", [id])
        return Shown(
            it.state, it.public_dns_name, it.private_dns_name, it.key_name, it.placement, it.instance_type
        )

    def console(self, id: str) -> str:
        return bytes(self._ask("get_console_output", id).output or b"").decode(errors="replace")

    def reboot(self, id: str) -> None:
        assert self._ask("reboot_instances", [id])

    def terminate(self, id: str) -> list[str]:
        return [it.id for it in self._ask("terminate_instances", [id])]

    def delete_key(self, name: str) -> None:
        assert self._ask("delete_key_pair", name)


class Boto2Signature1(Boto2):
    capability = "sign-v1"
    version = "2008-02-01"


class Boto2Signature4(Boto2):
    capability = "hmac-v4"
    version = "2016-11-15"

    def _slow(self, handler: Any, late: int) -> None:
        canonical = handler.canonical_request

        def slow(request: Any) -> Any:
            moment = time.gmtime(time.time() - late)
            request.headers["X-Amz-Date"] = time.strftime("%Y%m%dT%H%M%SZ", moment)
            return canonical(request)

        handler.canonical_request = slow
