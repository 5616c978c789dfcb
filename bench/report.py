"""The table, from the figures alone."""

from __future__ import annotations

from typing import Any

AIMS = {
    "DescribeAvailabilityZones": "≥ 12×",
    "RunInstances": "≥ 10×",
    "DescribeInstances, 1,000": "≥ 200×",
}


NOTES = (
    "Rates are requests per second, the median of the rounds; a ratio is taken within each round, whose two halves "
    "follow each other. Latencies are of all requests of all rounds. Both servers get the same signed bytes; both are "
    "as shipped (euca-rpc: two zones of three simulated nodes, every daemon a process of its own, signatures, policies, "
    "mutual TLS, events and durable commits on; moto keeps nothing on disk and checks no signature). The client keeps "
    "connections alive; moto's server closes them. DescribeInstances is without parameters; its machines are in "
    "reservations of 10, because moto answers at most 100 reservations at once. RunInstances starts one machine, with a "
    "thousand there already.",
)


def markdown(found: dict[str, Any]) -> str:
    m, sync = found["machine"], found["fdatasync"]
    lines = [
        f"Commit {m['commit']}, {m['at']}; {m['cores']} cores ({m['processor']}), {m['memory_gb']} GB, Python {m['python']}, "
        f"Linux {m['kernel']}; `fdatasync` of 4 KiB on the same disk {sync['median_ms']:.2f} ms (p99 {sync['p99_ms']:.2f}); "
        f"load average {m['load_before']} before, {m['load_after']} after; whole run {found['seconds']:.0f} s.",
        "",
        *NOTES,
        "",
        "| request | conn. | euca-rpc /s | moto /s | ratio: median (min … max) | aim | euca-rpc p50 / p90 / p99 ms | moto p50 / p90 / p99 ms |",
        "|---|--:|--:|--:|---|---|---|---|",
    ]
    for row in found["workloads"]:
        ours, theirs, ratio = row["euca"], row["moto"], row["ratio"]
        lines.append(
            f"| {row['name']} | {row['connections']} | {rate(ours['rate_median'])} | {rate(theirs['rate_median'])} "
            f"| **{ratio['median']:.1f}×** ({ratio['min']:.1f} … {ratio['max']:.1f}) | {AIMS.get(row['name'], '')} "
            f"| {latency(ours)} | {latency(theirs)} |"
        )
    lines += ["", "| DescribeInstances, one connection | euca-rpc | moto |", "|---|--:|--:|"]
    for row in found["workloads"]:
        if row["instances"] and row["connections"] == 1:
            count = f"{row['instances']:,}"
            for what, key, unit in (
                ("µs per instance", "us_per_instance", "{:.2f}"),
                ("ns per byte of the answer", "ns_per_byte", "{:.2f}"),
                ("bytes per instance", "bytes_per_instance", "{:,.0f}"),
            ):
                lines.append(
                    f"| {count}: {what} | {unit.format(row['euca'][key])} | {unit.format(row['moto'][key])} |"
                )
    lines += [
        "",
        "| memory (RSS) | euca-rpc cloud controller | all its daemons | moto |",
        "|---|--:|--:|--:|",
    ]
    for row in found["memory"]:
        lines.append(
            f"| {row['when']} | {row['euca_mb']:.0f} MB | {row['euca_all_mb']:.0f} MB | {row['moto_mb']:.0f} MB |"
        )
    running = next((row["all_running"] for row in found["workloads"] if row.get("all_running")), None)
    if running:
        lines += ["", f"Launches until the last machine *runs* (simulated nodes): {running:.0f} a second."]
    lines += ["", "Load generator against a server that does nothing, requests per second: "]
    lines[-1] += "; ".join(
        f"{row['what']}, {row['connections']} conn.: {row['rate']:,.0f}" for row in found["ceiling"]
    )
    lines[-1] += "."
    if found.get("overhead"):
        lines += ["", *overhead(found["overhead"])]
    return "\n".join(lines) + "\n"


def overhead(o: dict[str, Any]) -> list[str]:
    return [
        f"| launch, real QEMU ({o['virtualisation']}), seconds, {o['rounds']} interleaved rounds | median | min | max |",
        "|---|--:|--:|--:|",
        *(
            f"| {name} | {o[key]['median']:.3f} | {o[key]['min']:.3f} | {o[key]['max']:.3f} |"
            for name, key in (
                ("RunInstances call → domain running", "launch"),
                ("… of this, call → answer", "answer"),
                ("bare libvirt `createXML` of the same domain → running", "bare"),
                ("disk, key and seed made alone (injection)", "injection"),
                ("overhead = launch − bare", "difference"),
                ("overhead without injection (aim < 0.3)", "remainder"),
                ("RunInstances call → DescribeInstances says running", "shown"),
            )
        ),
    ]


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def latency(side: dict[str, float]) -> str:
    return " / ".join(f"{side[key]:.2f}" for key in ("p50_ms", "p90_ms", "p99_ms"))
