#!/usr/bin/python3
"""Measures a standalone node, and groups of members, against reference probes in the same run.

Each row compares a work of Cairn with a probe that does the like without it, on
the same machine, one right after the other, several times over; what counts is
the median. So a row says what Cairn costs, not how fast the machine is.

Writes a table to stdout and, with --json, an object per row: work, value, unit,
probe (the probe's value), ratio, bound ("at least" or "at most"), required (in
the same unit), ok.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

from node import Node, Probe, rusage_of
from rows import ROWS, Settings


def machine():
    """What the numbers were measured on."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="utf-8") as lines:
        memory_kib = int(lines.readline().split()[1])
    with open("/etc/os-release", encoding="utf-8") as lines:
        names = [line for line in lines if line.startswith("PRETTY_NAME=")]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / (1 << 20), 1),
        "kernel": platform.release(),
        "system": names[0].split("=", 1)[1].strip().strip('"') if names else "unknown",
    }


def file_system_of(folder):
    """The kind of file system that a folder is on."""
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", folder], stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    return done.stdout.strip()


def revision():
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--tags"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=False,
    )
    return done.stdout.strip() or "unknown"


def number(value):
    """Three significant digits and thousands, for people."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def summarise(row, rounds):
    """One result from what the rounds of a row measured.

    A round is (value, probe, required). The round whose value stands in the
    middle relative to what was required is the one that is shown, so that the
    numbers of a line belong together.
    """

    def score(measured):
        value, _, required = measured
        if row.bound == "at least":
            return value / required if required else float("inf")
        return required / value if value else float("inf")

    ordered = sorted(rounds, key=score)
    value, probe, required = ordered[(len(ordered) - 1) // 2]
    return {
        "work": row.work,
        "value": value,
        "unit": row.unit,
        "probe": probe,
        "ratio": value / probe if probe else None,
        "bound": row.bound,
        "required": required,
        "ok": statistics.median(score(r) for r in rounds) >= 1,
    }


def print_table(results):
    """The table for people."""
    lines = [("work", "value", "probe", "ratio", "required", "")]
    for result in results:
        ratio = "-" if result["ratio"] is None else f"{result['ratio']:.2f}"
        lines.append((
            result["work"],
            f"{number(result['value'])} {result['unit']}",
            number(result["probe"]),
            ratio,
            f"{result['bound']} {number(result['required'])}",
            "ok" if result["ok"] else "MISSED",
        ))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [line[i].rjust(widths[i]) for i in range(1, 5)]
        print("  ".join(cells + [line[5]]).rstrip(), flush=True)


def warm_memory(folder, size):
    """Has the kernel touch as much memory as the run will fill with file content.

    A virtual machine gets its memory page by page when it is touched first, which
    costs ten times what writing to it does: whoever comes first would pay for it.
    """
    path = os.path.join(folder, "warm")
    block = b"\0" * (1 << 20)
    with open(path, "wb") as out:
        for _ in range(size >> 20):
            out.write(block)
    os.remove(path)


def measure(rows, settings, folder, arguments):
    """Runs the rows, interleaved, and returns their results."""
    rounds = {row.work: [] for row in rows}
    extra = {}
    shared = [row for row in rows if not row.own_node]
    with Probe(arguments.probe, folder) as probe:
        extra["file"] = probe.file()
        if shared:
            with Node(arguments.standalone, arguments.cairn, os.path.join(folder, "node")) as node:
                for row in shared:
                    if row.prepare:
                        row.prepare(node, settings)
                for turn in range(settings.rounds):
                    for row in shared:
                        measured = row.measure(node, probe, settings)
                        rounds[row.work].append(measured)
                        print(
                            f"  round {turn + 1}: {row.work}: {number(measured[0])} {row.unit}"
                            f" (required {row.bound} {number(measured[2])})",
                            file=sys.stderr,
                            flush=True,
                        )
                extra["node"] = rusage_of(node.process.pid)
                extra["runs"] = node.runs
        extra["file_again"] = probe.file()
    for row in rows:
        if row.own_node:
            place = os.path.join(folder, "own")
            for name, measured in row.measure_own(arguments, place, settings):
                rounds.setdefault(name, []).append(measured)
                print(f"  {name}: {number(measured[0])} (required {number(measured[2])})", file=sys.stderr, flush=True)
            shutil.rmtree(place, ignore_errors=True)

    results = []
    for row in rows:
        for part in row.parts():
            if rounds.get(part.work):
                results.append(summarise(part, rounds[part.work]))
    return results, extra


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--standalone", required=True, help=argparse.SUPPRESS)
    for program in ("tracker", "storage", "cairn", "probe"):
        parser.add_argument(f"--{program}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--gate", action="store_true", help="exit 1 when a row misses what it must reach")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--quick", action="store_true", help="short rounds and fewer files: to see that it works")
    parser.add_argument("--only", metavar="WORDS", help="only rows whose name contains this")
    parser.add_argument("--dir", metavar="DIR", help="where to put the data (default: a temporary folder)")
    arguments = parser.parse_args()

    settings = Settings.quick() if arguments.quick else Settings()
    rows = [row for row in ROWS if not arguments.only or any(arguments.only in p.work for p in row.parts())]
    if not rows:
        parser.error(f"no row contains '{arguments.only}'")
    if arguments.dir:
        os.makedirs(arguments.dir, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="cairn-bench-", dir=arguments.dir)
    try:
        warm_memory(folder, settings.warm_bytes)
        results, extra = measure(rows, settings, folder, arguments)
        disk = file_system_of(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    print()
    print_table(results)
    rates = ", ".join(f"{extra[k]['write_bytes_per_second'] / 1e6:,.0f}" for k in ("file", "file_again"))
    print(f"\nOne thread writes a new file, in page cache, at (before, after the rows): {rates} MB/s")
    if arguments.json:
        document = {
            "command": "./dev bench" + "".join(" " + a for a in sys.argv[1:] if a in ("--quick", "--gate"))
            + (f" --only '{arguments.only}'" if arguments.only else ""),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "revision": revision(),
            "machine": dict(machine(), file_system=disk),
            "rows": results,
            **extra,
        }
        with open(arguments.json, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=1)
            out.write("\n")
        print(f"\nwritten to {arguments.json}")
    missed = [r["work"] for r in results if not r["ok"]]
    if missed:
        print(f"\n{len(missed)} of {len(results)} rows miss what they must reach: " + "; ".join(missed))
    return 1 if arguments.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())
