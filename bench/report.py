"""The table, from the figures alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .kept import Before

AIMS = {
    "DescribeAvailabilityZones": "≥ 12×",
    "RunInstances": "≥ 12×",
    "DescribeInstances, 1,000": "≥ 300×",
}
NOTES = (
    "Rates are requests per second, the median of the rounds; a ratio is taken within each round, whose two halves "
    "follow each other. Latencies are of all requests of all rounds. Both servers get the same signed bytes; both are "
    "as shipped (euca-rpc: two zones of three simulated nodes, every daemon a process of its own, signatures, policies, "
    "mutual TLS, events and durable commits on; moto keeps nothing on disk and checks no signature). The client keeps "
    "connections alive; moto's server closes them. DescribeInstances is without parameters; its machines are in "
    "reservations of 10, because moto answers at most 100 reservations at once. RunInstances starts one machine, with a "
    "thousand there already."
)


def markdown(found: dict[str, Any], before: Before | None = None) -> str:
    """Every table that there are figures for, each ratio with that of ``before`` beside it."""
    parts: list[Sequence[str]] = [[conditions(found)]]
    if found.get("workloads") or found.get("tails"):
        parts.append([NOTES])
    if found.get("workloads"):
        parts += [main(found["workloads"], before), per_instance(found["workloads"])]
    if found.get("tails"):
        parts.append(tails(found["tails"], before))
    if found.get("soap"):
        parts.append(soap(found["soap"], before))
    if found.get("crowd"):
        parts += crowd(found["crowd"], before)
    if found.get("portal"):
        parts.append(portal(found["portal"], before))
    if found.get("workloads"):
        parts += [memory(found["memory"]), running(found["workloads"]), ceiling(found["ceiling"])]
    if found.get("overhead"):
        parts.append(overhead(found["overhead"]))
    if found.get("placement"):
        parts.append(placement(found["placement"]))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def conditions(found: dict[str, Any]) -> str:
    m, sync = found["machine"], found["fdatasync"]
    return (
        f"Commit {m['commit']}, {m['at']}; {m['cores']} cores ({m['processor']}), {m['memory_gb']} GB, Python {m['python']}, "
        f"Linux {m['kernel']}; `fdatasync` of 4 KiB on the same disk {sync['median_ms']:.2f} ms (p99 {sync['p99_ms']:.2f}); "
        f"load average {m['load_before']} before, {m['load_after']} after; whole run {found['seconds']:.0f} s."
    )


def main(rows: Iterable[dict[str, Any]], before: Before | None) -> list[str]:
    lines = [
        "| request | conn. | euca-rpc /s | moto /s | ratio: median (min … max) | before | aim | euca-rpc p50 / p90 / p99 ms | moto p50 / p90 / p99 ms |",
        "|---|--:|--:|--:|---|--:|---|---|---|",
    ]
    for row in rows:
        ours, theirs = row["euca"], row["moto"]
        old = earlier(before, "workloads", row["name"], row["connections"])
        lines.append(
            f"| {row['name']} | {row['connections']} | {rate(ours['rate_median'])} | {rate(theirs['rate_median'])} "
            f"| {times(row['ratio'], 1)} | {old} | {AIMS.get(row['name'], '')} | {latency(ours)} | {latency(theirs)} |"
        )
    return [*lines, *named(before)]


def tails(rows: Iterable[dict[str, Any]], before: Before | None) -> list[str]:
    lines = [
        "| many clients | conn. | euca-rpc p50 / p90 / p99 ms | p99 ÷ p50 | before | aim | moto p50 / p90 / p99 ms | p99 ÷ p50 |",
        "|---|--:|---|--:|--:|---|---|--:|",
    ]
    for row in rows:
        old = earlier(before, "tails", row["name"], row["connections"])
        ours, theirs = row["euca"], row["moto"]
        lines.append(
            f"| {row['name']} | {row['connections']} | {latency(ours)} | **{ours['tail']:.1f}** | {old} | < 10 "
            f"| {latency(theirs)} | {theirs['tail']:.1f} |"
        )
    return lines


def soap(rows: Iterable[dict[str, Any]], before: Before | None) -> list[str]:
    lines = [
        "| the same call, one connection | Query p50 ms | SOAP p50 ms | SOAP − Query, ms: median (min … max) | aim | SOAP ÷ Query | before |",
        "|---|--:|--:|---|---|--:|--:|",
    ]
    for row in rows:
        extra = row["more_ms"]
        lines.append(
            f"| {row['name']} | {row['query']['p50_ms']:.2f} | {row['soap']['p50_ms']:.2f} "
            f"| **{extra['median']:.2f}** ({extra['min']:.2f} … {extra['max']:.2f}) | ≤ 1 "
            f"| {row['ratio']['median']:.1f}× | {earlier(before, 'soap', row['name'])} |"
        )
    return lines


def crowd(found: dict[str, Any], before: Before | None) -> list[list[str]]:
    crowd = f"among {found['machines']:,}"
    lines = [
        f"| 10 machines of mine, {found['machines']:,} of other people | alone p50 ms | {crowd} p50 ms | ratio: median (min … max) | before | aim |",
        "|---|--:|--:|---|--:|---|",
    ]
    for row in found["rows"]:
        lines.append(
            f"| {row['name']} | {row['alone']['p50_ms']:.2f} | {row['crowd']['p50_ms']:.2f} | {times(row['ratio'], 2)} "
            f"| {earlier(before, 'crowd', row['name'])} | flat |"
        )
    facts = [f"| what grows with the crowd | alone | {crowd} |", "|---|--:|--:|"]
    for what, key, unit in (
        ("cloud controller: from its start to its first answer", "start_seconds", "{:.1f} s"),
        ("its memory (RSS) just after that", "started_mb", "{:.0f} MB"),
    ):
        facts.append(f"| {what} | {unit.format(found[key]['alone'])} | {unit.format(found[key]['crowd'])} |")
    facts.append(f"| its database | | {found['database_mb']:.0f} MB |")
    facts.append(f"| a page of 1,000 of an administrator's DescribeInstances | | {found['page_ms']:.0f} ms |")
    return [lines, facts]


def portal(found: dict[str, Any], before: Before | None) -> list[str]:
    used = found["browsers"]
    lines = [
        f"| EC2 while the portal answers {used['pace']:g} pages a second | alone p50 / p99 ms | beside it p50 / p99 ms | ratio: median (min … max) | before | aim |",
        "|---|---|---|---|--:|---|",
    ]
    for row in found["rows"]:
        alone, beside = (
            f"{row[key]['p50_ms']:.2f} / {row[key]['p99_ms']:.2f}" for key in ("alone", "beside")
        )
        lines.append(
            f"| {row['name']} | {alone} | {beside} | {times(row['ratio'], 2)} | {earlier(before, 'portal', row['name'])} | flat |"
        )
    return [
        *lines,
        "",
        f"{used['pages']:,} pages were answered meanwhile, half of them within {used['p50_ms']:.0f} ms.",
    ]


def per_instance(rows: Iterable[dict[str, Any]]) -> list[str]:
    lines = ["| DescribeInstances, one connection | euca-rpc | moto |", "|---|--:|--:|"]
    for row in rows:
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
    return lines if len(lines) > 2 else []


def memory(rows: Iterable[dict[str, Any]]) -> list[str]:
    lines = ["| memory (RSS) | euca-rpc cloud controller | all its daemons | moto |", "|---|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['when']} | {row['euca_mb']:.0f} MB | {row['euca_all_mb']:.0f} MB | {row['moto_mb']:.0f} MB |"
        )
    return lines


def running(rows: Iterable[dict[str, Any]]) -> list[str]:
    rates = [row["all_running"] for row in rows if row.get("all_running")]
    said = (
        f"Launches until the last machine *runs* (simulated nodes): {rates[0]:.0f} a second." if rates else ""
    )
    return [said] if said else []


def ceiling(rows: Iterable[dict[str, Any]]) -> list[str]:
    each = "; ".join(f"{row['what']}, {row['connections']} conn.: {row['rate']:,.0f}" for row in rows)
    return [f"Load generator against a server that does nothing, requests per second: {each}."]


def named(before: Before | None) -> list[str]:
    return ["", f"*before*: the ratios of the kept result {before.name}."] if before is not None else []


def earlier(before: Before | None, *row: Any) -> str:
    found = before.ratios.get(row) if before is not None else None
    return "" if found is None else f"{found:.1f}×" if row[0] == "workloads" else f"{found:.2f}"


def times(ratio: dict[str, float], digits: int) -> str:
    low, middle, high = (f"{ratio[key]:.{digits}f}" for key in ("min", "median", "max"))
    return f"**{middle}×** ({low} … {high})"


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


def placement(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line a policy; the last column is how the rate falls from the smallest to the largest site."""
    sites = sorted({row["nodes"] for row in rows})
    found = {(row["policy"], row["nodes"]): row for row in rows}
    heads = " | ".join(f"{nodes:,} nodes" for nodes in sites)
    lines = [
        f"| placements a second (aim ≥ 20,000 with 10,000 nodes) | {heads} | memory, {sites[-1]:,} nodes | {sites[-1] // sites[0]:,}× the nodes cost |",
        "|---|" + "--:|" * (len(sites) + 2),
    ]
    for policy in dict.fromkeys(row["policy"] for row in rows):
        line = [found[policy, nodes] for nodes in sites]
        rates = " | ".join(f"{row['rate']:,.0f}" for row in line)
        slower = line[0]["rate"] / line[-1]["rate"]
        lines.append(f"| {policy} | {rates} | {line[-1]['memory_mb']:,.0f} MB | {slower:.1f}× |")
    machines = found[next(iter(found))[0], sites[-1]]["machines"]
    lines += [
        "",
        f"Ten machines a node ({machines:,} in the largest site); `bench/placement.py` says what a placement is.",
    ]
    return lines
