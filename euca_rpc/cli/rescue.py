"""`euca rescue`: an administrator lost the certificate, or the way into the portal.

It is for whoever may read the cloud's home, on the cloud controller's own host, while the cloud controller is down.
"""

from __future__ import annotations

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.init import the_authority
from euca_rpc.clock import SystemClock, moment
from euca_rpc.config import Config
from euca_rpc.errors import EucaError
from euca_rpc.ids import SystemIds
from euca_rpc.wire.contracts import ADMIN
from euca_rpc.wire.pki import Identity, PeerName


def new_certificate(config: Config, name: PeerName) -> None:
    """In the place that `euca` looks at.  Earlier ones of the same name are revoked: who knows where they are."""
    authority = the_authority(config)
    authority.revoke(name)
    directory = config.identity(ADMIN)
    request = Identity.make_key_and_csr(directory, name)
    Identity.install(directory, authority.issue(request, name), authority.ca_pem)


@click.command(
    "rescue",
    cls=Command,
    help="Let the administrator USER in again who lost the certificate of `euca` or the way into the portal: USER is enabled, gets a "
    "new certificate (earlier ones are revoked, on whatever host) and a link, good for an hour, to choose another password. Only "
    "while the cloud controller is down.",
    examples="euca down\neuca rescue admin\neuca up --detach",
)
@click.argument("user")
@invocation
def rescue(one: Invocation, user: str) -> None:
    from euca_rpc.cloud import rescue as offline  # the store and all that it needs

    config = one.config()
    if not config.database.exists():
        raise EucaError(
            "config_invalid",
            f"{config.home} has no database to rescue anybody in: say --home, on the cloud controller's host",
        )
    # the first administrator's certificate names nobody
    name = PeerName(ADMIN, "" if user == config.defaults.administrator else user)
    made = offline.rescue(
        config.database, SystemClock(), SystemIds(), user, lambda: new_certificate(config, name)
    )
    facts = {"user": user, "certificate": str(config.identity(ADMIN))}
    if made.code:
        facts |= {"portal": f"{config.portal_url}/login", "one_time_code": made.code}
    else:
        facts |= {
            "portal": f"{config.portal_url}/password?token={made.token}",
            "until": moment(made.token_ends),
        }
    one.output.facts(facts)
