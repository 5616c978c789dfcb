"""What libvirtd, its QEMU driver and virtlogd are told on such a host, and where everything lies.  Pure text."""

from __future__ import annotations

from pathlib import Path

# libvirt's directory -> ours, below the host's own.  The order is that of the mounts.
DIRECTORIES = {
    "/run/libvirt": "run",
    "/var/lib/libvirt": "lib",
    "/var/cache/libvirt": "cache",
    "/var/log/libvirt": "log",
    "/etc/libvirt": "etc",
}

# Emptied inside the namespace: on a host with systemd, libvirt would register guests there under numbers that mean
# something else outside, and make control groups that outlive the namespace.
HIDDEN = ("/run/dbus", "/run/systemd", "/sys/fs/cgroup")

CONSOLE_BYTES = 256 * 1024  # of the live log file; one older file of that size is kept beside it as NAME.0
CONSOLE_BACKUPS = 1

# Users expect port 22 of an address of the instance's own, which only root may bind.  QEMU is confined by its seccomp
# sandbox and sees nothing of the host's loopback (restrict=on).  Disks keep the owner that the node gave them.
QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
seccomp_sandbox = 1
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
set_process_name = 1
auto_dump_path = "/var/lib/libvirt/qemu/dump"
"""


def qemu_conf() -> str:
    return QEMU


def libvirtd_conf(host_uuid: str) -> str:
    """Only a unix socket, and only for root."""
    return f"""\
host_uuid = "{host_uuid}"
unix_sock_group = "root"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "3:stderr"
audit_level = 0
"""


def virtlogd_conf() -> str:
    return f"""\
max_size = {CONSOLE_BYTES}
max_backups = {CONSOLE_BACKUPS}
log_level = 3
log_outputs = "3:stderr"
"""


def write(directory: Path, host_uuid: str) -> None:
    """No networks, no filters: libvirt's own defaults would make a bridge in the machine's network."""
    etc = directory / "etc"
    for name, text in (
        ("qemu.conf", qemu_conf()),
        ("libvirtd.conf", libvirtd_conf(host_uuid)),
        ("virtlogd.conf", virtlogd_conf()),
    ):
        (etc / name).write_text(text)
