"""What is measured, against what, and what must be reached.

A row measures its probe and then its work, and returns
(value, probe, required): required is the least (or the most) that the value
may be, in the row's unit, given what the probe just showed.
"""

import dataclasses
import json
import os
import shutil
import threading
import typing

from node import Group, Node, Probe, disk_bytes, rusage_of

MIB = 1 << 20
GIB = 1 << 30

# Of one large file.
PARALLEL_STREAMS = 4


@dataclasses.dataclass
class Settings:
    """How long and how much."""

    rounds: int = 3
    seconds: float = 4.0
    files: int = 100_000
    large_bytes: int = GIB
    many_files: int = 1_000_000
    warm_bytes: int = 8 * GIB
    lag_seconds: float = 30.0
    catch_up_files: int = 200_000
    copy_bytes: int = 4 * GIB
    failover_seconds: float = 15.0

    @staticmethod
    def quick():
        return Settings(rounds=1, seconds=1.0, files=2_000, large_bytes=128 * MIB, many_files=20_000,
                        warm_bytes=GIB, lag_seconds=3.0, catch_up_files=5_000, copy_bytes=256 * MIB,
                        failover_seconds=8.0)


@dataclasses.dataclass
class Row:
    """One line of the table."""

    work: str
    unit: str
    bound: str = "at least"
    measure: typing.Optional[typing.Callable] = None
    prepare: typing.Optional[typing.Callable] = None

    own_node = False

    def parts(self):
        return [self]


def small_put(level):
    """Puts of 4 KiB, 64 in flight, against unary echo."""

    def measure(node, probe, settings):
        echo = probe.echo(64, 4096, settings.seconds)["calls_per_second"]
        done = node.bench("put", size=4096, in_flight=64, level=level, seconds=settings.seconds)
        return done["operations_per_second"], echo, 2.5 * echo

    return measure


def small_put_attributes(node, probe, settings):
    """What attributes of 32 bytes cost a put, four of them against none."""
    rates = [
        node.bench("put", size=4096, in_flight=64, level="cached", seconds=settings.seconds,
                   attributes=attributes)["operations_per_second"]
        for attributes in (0, 4)
    ]
    return rates[1], rates[0], 0.9 * rates[0]


def small_append(node, probe, settings):
    """Appends, to 64 files at once, against puts of the same size."""
    del probe
    rates = [
        node.bench(kind, size=4096, in_flight=64, level="cached", seconds=settings.seconds)["operations_per_second"]
        for kind in ("put", "append")
    ]
    return rates[1], rates[0], 0.8 * rates[0]


def small_put_synced(node, probe, settings):
    """Against what one thread gets from the disk, and against CACHED."""
    syncs = probe.syncs(settings.seconds)
    cached = node.bench("put", size=4096, in_flight=64, level="cached", seconds=settings.seconds)
    done = node.bench("put", size=4096, in_flight=64, level="synced", seconds=settings.seconds)
    required = min(20 * syncs, 0.6 * cached["operations_per_second"])
    return done["operations_per_second"], syncs, required


def small_get(node, probe, settings):
    echo = probe.echo(64, 4096, settings.seconds)["calls_per_second"]
    done = node.bench("get", size=4096, in_flight=64, files=settings.files, seconds=settings.seconds)
    return done["operations_per_second"], echo, 3 * echo


def small_stat(node, probe, settings):
    echo = probe.echo(64, 0, settings.seconds)["calls_per_second"]
    done = node.bench("stat", size=4096, in_flight=64, files=settings.files, seconds=settings.seconds)
    return done["operations_per_second"], echo, min(4 * echo, 115_000)


def small_delete(node, probe, settings):
    echo = probe.echo(64, 4096, settings.seconds)["calls_per_second"]
    done = node.bench_delete(size=4096, in_flight=64, level="cached", files=settings.files // 2)
    return done["operations_per_second"], echo, 2.5 * echo


def medium_put(node, probe, settings):
    total = settings.large_bytes // 8
    up = probe.up(8, total) / 1e6
    done = node.bench("put", size=MIB, in_flight=8, level="cached", seconds=settings.seconds)
    return done["bytes_per_second"] / 1e6, up, 0.8 * up


def medium_get(node, probe, settings):
    total = settings.large_bytes // 8
    down = probe.down(8, total) / 1e6
    done = node.bench("get", size=MIB, in_flight=8, files=200, seconds=settings.seconds)
    return done["bytes_per_second"] / 1e6, down, 0.8 * down


def lone(kind):
    """One call at a time: how long half of them take."""

    def measure(node, probe, settings):
        echo = probe.echo(1, 4096, settings.seconds)["p50_us"]
        options = {"level": "cached"} if kind == "put" else {"files": 2_000}
        done = node.bench(kind, size=4096, in_flight=1, seconds=settings.seconds, **options)
        return done["p50_us"], echo, 1.5 * echo

    return measure


def large_put(node, probe, settings):
    up = probe.up(1, settings.large_bytes) / 1e6
    done = node.bench("put", size=settings.large_bytes, in_flight=1, level="cached", count=1)
    return done["bytes_per_second"] / 1e6, up, 0.7 * up


def large_get(node, probe, settings):
    down = probe.down(1, settings.large_bytes) / 1e6
    done = node.bench("get", size=settings.large_bytes, in_flight=1, files=1, count=3)
    return done["bytes_per_second"] / 1e6, down, 0.8 * down


def parallel_get(node, probe, settings):
    """A large file to a file on the disk: several streams, and one for comparison."""
    del probe
    rates = {}
    with node.stored_file(settings.large_bytes) as file_id:
        for streams in (1, PARALLEL_STREAMS):
            rates[streams] = settings.large_bytes / node.get_to_file(file_id, streams) / 1e6
    return rates[PARALLEL_STREAMS], rates[1], 0.8 * rates[1]


class OwnNodes:
    """A work that starts the nodes it needs itself. measure_own() yields (work of a row, measurement)."""

    own_node = True
    prepare = None
    row = None

    def parts(self):
        return [self.row]


class ManyFiles(OwnNodes):
    """A node with very many files: memory, disk, the time to open it again, and to list them."""

    bytes_each = 1024

    resident = Row("1,000,000 files of 1 KiB: resident", "MiB", "at most")
    disk = Row("1,000,000 files of 1 KiB: disk a file beyond content", "B", "at most")
    reopen = Row("1,000,000 files of 1 KiB: reopening against 100,000", "s", "at most")
    listing = Row("1,000,000 files of 1 KiB: `cairn ls`", "/s")

    work = "1,000,000 files of 1 KiB"

    def parts(self):
        return [self.resident, self.disk, self.reopen, self.listing]

    def measure_own(self, arguments, folder, settings):
        few = settings.many_files // 10
        with Node(arguments.standalone, arguments.cairn, folder) as node:
            node.fill(few, self.bytes_each)
            opened_few = self.reopen_seconds(node)
            node.fill(settings.many_files - few, self.bytes_each)
            resident = rusage_of(node.process.pid)["resident_bytes"]
            opened_many = self.reopen_seconds(node)
            resident = max(resident, rusage_of(node.process.pid)["resident_bytes"])
            listing = min(node.list_seconds() for _ in range(settings.rounds))
            node.stop()
            beyond = disk_bytes(os.path.join(folder, "data")) - settings.many_files * self.bytes_each
        yield self.resident.work, (resident / MIB, None, 300)
        yield self.disk.work, (beyond / settings.many_files, None, 320)
        yield self.reopen.work, (opened_many, opened_few, 2 * opened_few)
        yield self.listing.work, (settings.many_files / listing, None, 300_000)

    @staticmethod
    def reopen_seconds(node):
        """The shortest of three clean restarts."""
        times = []
        for _ in range(3):
            node.stop()
            times.append(node.start())
        return min(times)


class TwoMembers(OwnNodes):
    """What it costs that a second member has a file before the answer."""

    work = "put 4 KiB, 64 in flight, CACHED, 2 of 2 members"
    row = Row(work, "/s")

    def measure_own(self, arguments, folder, settings):
        with Group(arguments, os.path.join(folder, "one"), 1) as one, \
                Group(arguments, os.path.join(folder, "two"), 2) as two:
            two.await_replicas(2)
            for _ in range(settings.rounds):
                rates = [
                    group.bench("put", size=4096, in_flight=64, level="cached", seconds=settings.seconds,
                                replicas=replicas)["operations_per_second"]
                    for group, replicas in ((one, 1), (two, 2))
                ]
                yield self.work, (rates[1], rates[0], 0.4 * rates[0])


class Lag(OwnNodes):
    """How far the second member is behind while the first takes files as fast as it can."""

    work = "second member behind"
    longest = Row("second member behind, 4 KiB puts at full speed", "s", "at most")
    after = Row("second member behind: until level, afterwards", "s", "at most")

    def parts(self):
        return [self.longest, self.after]

    def measure_own(self, arguments, folder, settings):
        with Probe(arguments.probe, folder) as probe, Group(arguments, folder, 2) as group:
            group.await_replicas(2)
            first, second = group.members
            watch = probe.start_lag(first.address, second.address)
            try:
                rate = group.bench("put", size=4096, in_flight=64, level="cached", seconds=settings.lag_seconds,
                                   replicas=1, node=first)["operations_per_second"]
                lag = json.loads(watch.communicate()[0])
            finally:
                watch.kill()
                watch.wait()
        caught_up = lag["until_caught_up_seconds"]
        yield self.longest.work, (lag["longest_seconds"], None, 2)
        yield self.after.work, (caught_up if caught_up >= 0 else float("inf"), None, 2)
        print(f"  {lag['changes']:,.0f} changes at {rate:,.0f}/s", flush=True)


class CatchUp(OwnNodes):
    """An empty member that is filled with very many small files."""

    work = "empty member catches up, 200,000 files of 4 KiB"
    row = Row(work, "/s")

    def measure_own(self, arguments, folder, settings):
        for turn in range(settings.rounds):
            place = os.path.join(folder, str(turn))
            with Probe(arguments.probe, place) as probe, Group(arguments, place, 1) as group:
                ingest = group.bench("put", size=4096, in_flight=64, level="cached", count=settings.catch_up_files,
                                     replicas=1)["operations_per_second"]
                member = group.add()
                rate = settings.catch_up_files / probe.filled(member.address, settings.catch_up_files, 4096)
            shutil.rmtree(place)
            yield self.work, (rate, ingest, 1.5 * ingest)


class CopyLarge(OwnNodes):
    """One large file on its way to an empty member, against a stream that writes nothing, and the disk alone."""

    work = "4 GiB file copied to a member"
    beside_stream = Row(f"{work}; probe: raw stream", "MB/s")
    beside_disk = Row(f"{work}; probe: the disk", "MB/s")

    def parts(self):
        return [self.beside_stream, self.beside_disk]

    def measure_own(self, arguments, folder, settings):
        for turn in range(settings.rounds):
            place = os.path.join(folder, str(turn))
            with Probe(arguments.probe, place) as probe, Group(arguments, place, 1) as group:
                group.bench("put", size=settings.copy_bytes, in_flight=1, level="cached", count=1, replicas=1)
                os.sync()  # The disk is to have nothing else to do.
                down = probe.down(1, settings.copy_bytes) / 1e6
                disk = probe.disk(settings.copy_bytes) / 1e6
                member = group.add()
                copied = settings.copy_bytes / probe.filled(member.address, 1, settings.copy_bytes) / 1e6
            shutil.rmtree(place)
            yield self.beside_stream.work, (copied, down, 0.7 * down)
            yield self.beside_disk.work, (copied, disk, 0.7 * disk)


class Failover(OwnNodes):
    """The longest that any call takes while one of three members is killed."""

    work = "failover: longest call, 64 in flight, 1 of 3 members killed"
    row = Row(work, "s", "at most")

    def measure_own(self, arguments, folder, settings):
        with Group(arguments, folder, 3) as group:
            group.await_replicas(3)
            for victim in group.members[:settings.rounds]:
                killer = threading.Timer(settings.failover_seconds / 3, victim.kill)
                killer.start()
                try:
                    # Puts and gets; an error of any of them would end the run.
                    done = group.run_bench(["mixed"], [
                        "--size=4KiB", "--in-flight=64", "--mix=put=50,get=50",
                        f"--duration={settings.failover_seconds}s", "--level=synced",
                    ])
                finally:
                    killer.join()
                yield self.work, (done["max_us"] / 1e6, None, 5)
                victim.start()
                group.await_replicas(3)


ROWS = [
    Row("put 4 KiB, 64 in flight, CACHED", "/s", measure=small_put("cached")),
    Row("put 4 KiB, 64 in flight, SYNCED", "/s", measure=small_put_synced),
    Row("put 4 KiB with 4 attributes, 64 in flight, CACHED", "/s", measure=small_put_attributes),
    Row("append 4 KiB, 64 files in flight, CACHED; probe: put", "/s", measure=small_append),
    Row("get 4 KiB at random, 64 in flight", "/s", measure=small_get),
    Row("stat, 64 in flight", "/s", measure=small_stat),
    Row("delete, 64 in flight, CACHED", "/s", measure=small_delete),
    Row("put 1 MiB, 8 in flight, CACHED", "MB/s", measure=medium_put),
    Row("get 1 MiB, 8 in flight", "MB/s", measure=medium_get),
    Row("put 4 KiB, one at a time, CACHED: p50", "µs", "at most", measure=lone("put")),
    Row("get 4 KiB, one at a time: p50", "µs", "at most", measure=lone("get")),
    Row("put 1 GiB, CACHED", "MB/s", measure=large_put),
    Row("get 1 GiB (in page cache)", "MB/s", measure=large_get),
    Row(f"get 1 GiB to a file, {PARALLEL_STREAMS} streams; probe: one stream", "MB/s", measure=parallel_get),
    ManyFiles(),
    TwoMembers(),
    Lag(),
    CatchUp(),
    CopyLarge(),
    Failover(),
]
