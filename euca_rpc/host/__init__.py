"""A host on one machine: a libvirtd of its own, its guests and a node controller, which live and die together.

    euca up ──► LibvirtHost.start ──► unshare (mount + PID namespace) ──► init (PID 1 there)
                                                                           ├─ virtlogd    guests' consoles, bounded
                                                                           ├─ libvirtd    with its own directories
                                                                           ├─ children    e.g. the node controller
                                                                           └─ QEMU …      orphans, reaped at once

Everything that libvirt keeps lies in ``DIRECTORY`` (bind mounts inside the namespace), so several hosts live side by
side and the machine's own libvirt is not touched.  The network namespace is the machine's: forwarded ports of guests
must be reachable from outside.  Killing init is a host losing power: all that ran on it is gone within milliseconds,
its disks stay.
"""
