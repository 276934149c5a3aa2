"""Processes that are measured: a standalone node, a group of members, and the probes' server."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
import uuid

_READY_SECONDS = 120


def rusage_of(pid):
    """What a process has used so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    resident = 0
    peak = 0
    with open(f"/proc/{pid}/status", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VmRSS:"):
                resident = int(line.split()[1]) << 10
            elif line.startswith("VmHWM:"):
                peak = int(line.split()[1]) << 10
    return {
        "cpu_seconds": (int(fields[11]) + int(fields[12])) / ticks,
        "resident_bytes": resident,
        "resident_bytes_peak": peak,
    }


def await_file(process, path, log):
    """Waits until a process has written a file, and returns what is in it."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if os.path.exists(path) and os.path.getsize(path) > 0:
            with open(path, encoding="utf-8") as f:
                return f.read().strip()
        if process.poll() is not None:
            break
        time.sleep(0.005)
    with open(log, encoding="utf-8", errors="replace") as f:
        tail = f.read()[-3000:]
    raise RuntimeError(f"{process.args[0]} did not get ready; the end of {log}:\n{tail}")


class Server:
    """A process that writes its address to a file when it is ready."""

    def __init__(self, arguments, folder, name):
        os.makedirs(folder, exist_ok=True)
        self.ready_file = os.path.join(folder, f"{name}.ready")
        self.log = os.path.join(folder, f"{name}.log")
        self.arguments = arguments + [f"--ready_file={self.ready_file}"]
        self.process = None
        self.address = None
        self.start()

    def start(self):
        """Starts it and returns how many seconds it took to get ready."""
        if os.path.exists(self.ready_file):
            os.remove(self.ready_file)
        began = time.monotonic()
        with open(self.log, "ab") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.ready(await_file(self.process, self.ready_file, self.log))
        return time.monotonic() - began

    def ready(self, text):
        """Takes what the ready file says."""
        self.address = text.split()[0]

    def stop(self):
        """SIGTERM, and waits for the end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=_READY_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def run_json(arguments):
    """Runs a program and returns the last line of its output, parsed."""
    done = subprocess.run(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


class Probe(Server):
    """cairn-probe: what gRPC and the disk do without Cairn."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder
        super().__init__([program, "serve"], folder, "probe")

    def run(self, kind, *options):
        """One measurement; see `cairn-probe --help`."""
        if kind in ("sync", "file", "disk"):
            where = [f"--directory={self.folder}"]
        else:
            where = [f"--target={self.address}"]
        return run_json([self.program, kind, *where, *options])

    def echo(self, callers, payload, seconds):
        return self.run("echo", f"--callers={callers}", f"--payload={payload}", f"--seconds={seconds}")

    def up(self, streams, total):
        return self.run("up", f"--streams={streams}", f"--bytes={total}")["bytes_per_second"]

    def down(self, streams, total):
        return self.run("down", f"--streams={streams}", f"--bytes={total}")["bytes_per_second"]

    def file(self):
        """Sequential write and read of one file, without Cairn."""
        return self.run("file")

    def disk(self, total):
        """What the disk takes, past the page cache; 0 where that cannot be said (tmpfs)."""
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_DIRECT | os.O_WRONLY))
        except OSError:
            return 0.0
        return self.run("disk", f"--bytes={total}")["bytes_per_second"]

    def start_lag(self, taker, follower):
        """Watches how far one member is behind another until a load is over; see `cairn-probe lag`."""
        # pylint: disable=consider-using-with
        return subprocess.Popen(
            [self.program, "lag", f"--from={taker}", f"--to={follower}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8",
        )

    def filled(self, node, files, size):
        """Seconds until a node has so many files of a size, contents and all."""
        return run_json([
            self.program, "filled", f"--target={node}", f"--files={files}", f"--bytes={files * size}",
        ])["seconds"]

    def syncs(self, seconds):
        return self.run("sync", f"--seconds={seconds}")["syncs_per_second"]


class Caller:
    """The `cairn` command, pointed at a node or at trackers.

    A class that mixes it in has `cairn`, `target` (the flag that says where to),
    `folder`, `runs` (what each `cairn bench` said, for the record) and `files`
    (lists of stored files, by number and size).
    """

    def bench(self, operation, size, in_flight, level="cached", seconds=None, count=None, files=None,
              replicas=None, node=None, attributes=0):
        """What `cairn bench` says of one operation, see docs/cli.md.

        `files` is of how many stored files the operation is to choose; `replicas`
        how many members are required to have it; `node` whom to call, instead of
        all; `attributes` how many each file is put with, of 32 bytes.
        """
        options = [f"--size={size}", f"--in-flight={in_flight}", f"--level={level}"]
        if replicas is not None:
            options += [f"--replicas={replicas}", "--required"]
        if attributes:
            options.append(f"--attributes={attributes}")
        if count is not None:
            options.append(f"--count={count}")
        elif seconds is not None:
            options.append(f"--duration={seconds}s")
        if files is not None:
            options.append(f"--files-in={self.store(files, size)}")
        return self.run_bench([operation], options, node)

    def bench_delete(self, size, in_flight, level, files):
        """Deletes files that are stored for it."""
        options = [f"--size={size}", f"--in-flight={in_flight}", f"--level={level}", f"--count={files}"]
        return self.run_bench(["put", "delete"], options)

    def run_bench(self, operations, options, node=None):
        """The last phase of a run, in which nothing may have failed."""
        target = [f"--storage={node.address}"] if node else self.target()
        report = run_json([
            self.cairn, *target, "--json", "--no-progress", "bench", *operations, *options,
        ])
        for phase in report["phases"]:
            if phase["errors"] or phase["damaged"]:
                raise RuntimeError(f"cairn bench {' '.join(operations + options)}: {phase}")
        self.runs += report["phases"]
        return report["phases"][-1]

    def store(self, count, size):
        """Stores files once, and returns the name of a list of them."""
        key = (count, size)
        if key not in self.files:
            path = os.path.join(self.folder, f"files-{count}-{size}")
            self.run_bench(["put"], [
                f"--size={size}", f"--in-flight={64 if size < (1 << 20) else 4}",
                "--level=cached", f"--count={count}", f"--files-out={path}",
            ])
            self.files[key] = path
        return self.files[key]

    def fill(self, count, size):
        """Stores files that nobody will ask for."""
        self.run_bench(["put"], [f"--size={size}", "--in-flight=256", "--level=cached", f"--count={count}"])


class Node(Server, Caller):
    """cairn-standalone, called directly: the tracker is not on the way of a call."""

    def __init__(self, program, cairn, folder):
        self.cairn = cairn
        self.folder = folder
        self.runs = []
        self.files = {}
        data = os.path.join(folder, "data")
        super().__init__([program, f"--data={data}", "--listen=127.0.0.1:0"], folder, "node")

    def ready(self, text):
        self.address = json.loads(text)["storage"]

    def target(self):
        return [f"--storage={self.address}"]

    def _cairn(self, *arguments):
        """What one run of the command prints."""
        done = subprocess.run(
            [self.cairn, *self.target(), "--json", "--no-progress", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8", check=True,
        )
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def stored_file(self, size):
        """The ID of a file of so many bytes, which is deleted afterwards."""
        path = os.path.join(self.folder, "source")
        block = os.urandom(1 << 20)
        with open(path, "wb") as file:
            for _ in range(size // len(block)):
                file.write(block)
        file_id = self._cairn("put", path, "--level=cached")["file_id"]
        os.remove(path)
        try:
            yield file_id
        finally:
            self._cairn("rm", file_id)

    def get_to_file(self, file_id, streams):
        """Seconds that `cairn get --resume` takes, with the sync of what it read."""
        path = os.path.join(self.folder, "copy")
        began = time.monotonic()
        self._cairn("get", file_id, "-o", path, "--resume", f"--streams={streams}")
        took = time.monotonic() - began
        os.remove(path)
        return took

    def list_seconds(self):
        """Seconds that `cairn ls` takes to name every file, the process's start included."""
        secret = os.path.join(self.folder, "data", "secret")
        began = time.monotonic()
        subprocess.run(
            [self.cairn, *self.target(), "--no-progress", "ls", f"--secret-file={secret}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
        )
        return time.monotonic() - began


class Daemon(Server):
    """cairn-tracker or cairn-storage with a configuration of its own.

    Listens where it did before when it is started again, so that others find it.
    """

    def __init__(self, program, folder, name, lines):
        self.folder = os.path.join(folder, name)
        self.lines = lines
        self.config = os.path.join(self.folder, "config")
        os.makedirs(self.folder, exist_ok=True)
        self.address = None
        super().__init__([program, f"--config={self.config}"], self.folder, name)

    def start(self):
        listen = self.address or "127.0.0.1:0"
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("\n".join([f'listen: "{listen}"'] + self.lines) + "\n")
        return super().start()

    def ready(self, text):
        self.address = json.loads(text)["listen"].split(",")[0]

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        self.process.kill()
        self.process.wait()


class Group(Caller):
    """A tracker and some members of one group, called through the tracker."""

    def __init__(self, arguments, folder, members):
        self.arguments = arguments
        self.cairn = arguments.cairn
        self.folder = folder
        self.runs = []
        self.files = {}
        self.members = []
        self.common = [f'cluster_id: "{uuid.uuid4()}"', f'cluster_secret: "{secrets.token_hex(16)}"']
        self.first_members = members
        self.tracker = None

    def add(self):
        """Starts one more member, with an empty disk."""
        name = f"storage{len(self.members)}"
        path = os.path.join(self.folder, name, "path")
        self.members.append(Daemon(self.arguments.storage, self.folder, name, self.common + [
            f'name: "{name}"', f'trackers: "{self.tracker.address}"', f'store_paths {{ directory: "{path}" }}',
        ]))
        return self.members[-1]

    def target(self):
        return [f"--tracker={self.tracker.address}"]

    def await_replicas(self, replicas):
        """Waits until the members follow each other."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            done = subprocess.run(
                [self.cairn, *self.target(), "--json", "--no-progress", "bench", "put", "--count=20", "--size=1KiB",
                 "--in-flight=1", f"--replicas={replicas}", "--required"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
            )
            if done.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{replicas} members do not follow each other; see {self.folder}/*/*.log")

    def __enter__(self):
        try:
            self.tracker = Daemon(self.arguments.tracker, self.folder, "tracker", self.common + [
                'name: "tracker"', f'data_dir: "{os.path.join(self.folder, "tracker", "data")}"',
            ])
            for _ in range(self.first_members):
                self.add()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in self.members + [self.tracker]:
            if daemon is not None:
                daemon.__exit__()


def disk_bytes(folder):
    """What a folder takes on its disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(parent, name)).st_blocks * 512 for name in names)
    return total
