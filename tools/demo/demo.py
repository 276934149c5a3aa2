#!/usr/bin/python3
"""./dev demo: a tracker and a storage take real files, are killed, lose nothing.

Every claim that is printed with a tick was checked in this run; the first one
that is not so ends the demo with exit status 1.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
GIB = 1 << 30
READY_SECONDS = 120

# Where files of many kinds are found on any Debian, and how many to take.
SOURCES = [
    ("/usr/share/doc", 120),
    ("/usr/include", 120),
    ("/usr/lib/python3", 60),
    ("/usr/share/zoneinfo", 40),
    ("/usr/share", 60),
    ("/usr/bin", 20),
]
SOURCE_FILE_BYTES_MAX = 16 * MIB

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURS else text


class Failed(Exception):
    """Something is not as the demo says."""


def chapter(number, title):
    print(f"\n{paint('1;36', str(number))} {paint('1', title)}", flush=True)


def note(text):
    print(f"  {paint('2', text)}", flush=True)


def fact(text):
    print(f"  {paint('32', '✓')} {text}", flush=True)


def expect(truth, text):
    """Prints what is so, or ends the demo."""
    if not truth:
        raise Failed(text)
    fact(text)


def size_text(size):
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def rate_text(size, seconds):
    return f"{size_text(size)} in {seconds:.1f} s, {size / max(seconds, 1e-9) / 1e6:,.0f} MB/s"


def free_port():
    """A port that is free together with those that go with it."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20_000, 32_000)
        try:
            # The tracker, its metrics, the storage, its metrics.
            for offset in (0, 1, 100, 101):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        return port
    raise Failed("no free ports were found")


class Node:
    """cairn-standalone: a tracker and a storage in one process."""

    def __init__(self, program, data, log):
        self.program = program
        self.data = data
        self.log = log
        self.ready_file = data + ".ready"
        self.listen = f"127.0.0.1:{free_port()}"
        self.process = None

    def start(self):
        """Returns the seconds until it was ready."""
        if os.path.exists(self.ready_file):
            os.remove(self.ready_file)
        began = time.monotonic()
        with open(self.log, "ab") as log:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                [self.program, f"--data={self.data}", f"--listen={self.listen}", f"--ready_file={self.ready_file}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        while not (os.path.exists(self.ready_file) and os.path.getsize(self.ready_file)):
            if self.process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise Failed(f"cairn-standalone did not get ready, see {self.log}:\n{self.log_tail()}")
            time.sleep(0.005)
        return time.monotonic() - began

    def log_tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def make_folder(folder, seed):
    """Fills a folder with real files of many kinds. Returns their sum."""
    draw = random.Random(seed)
    total = 0
    for source, count in SOURCES:
        found = []
        for parent, _, names in os.walk(source):
            found += [os.path.join(parent, name) for name in names]
            if len(found) > 20_000:
                break
        found.sort()
        draw.shuffle(found)
        taken = 0
        for path in found:
            if taken == count:
                break
            if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.R_OK):
                continue
            if os.path.getsize(path) > SOURCE_FILE_BYTES_MAX:
                continue
            target = os.path.join(folder, path.lstrip("/"))
            if os.path.exists(target):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
            total += os.path.getsize(target)
            taken += 1
    # Sizes on both sides of every limit, and names as people give them.
    made = os.path.join(folder, "made")
    os.makedirs(made, exist_ok=True)
    for size in (0, 1, 4095, 4096, 256 * 1024, 256 * 1024 + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 77):
        with open(os.path.join(made, f"{size}-bytes.bin"), "wb") as f:
            f.write(draw.randbytes(size))
        total += size
    for name in ("with blank.txt", "grüße-東京.txt", "archive.tar.gz", "no_extension"):
        with open(os.path.join(made, name), "w", encoding="utf-8") as f:
            f.write(f"the file called {name}\n" * 100)
            total += f.tell()
    return total


def make_large(path, size):
    with open(path, "wb") as f:
        block = random.Random(7).randbytes(8 * MIB)
        for i in range(size // len(block)):
            # Each block differs, so that one out of place would be seen.
            f.write(i.to_bytes(8, "big") + block[8:])


def files_below(folder):
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    )


def same_file(a, b):
    if os.path.getsize(a) != os.path.getsize(b):
        return False
    with open(a, "rb") as fa, open(b, "rb") as fb:
        while True:
            block = fa.read(MIB)
            if block != fb.read(MIB):
                return False
            if not block:
                return True


class Cairn:
    """The `cairn` command, pointed at the node."""

    def __init__(self, program, node, folder):
        self.program = program
        self.node = node
        self.folder = folder  # Where it runs; names in manifests are relative.

    def arguments(self, *words):
        return [self.program, f"--tracker={self.node.listen}", *words]

    def run(self, *words, stdout=subprocess.PIPE):
        return subprocess.run(
            self.arguments(*words), stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.PIPE, check=False, cwd=self.folder,
        )

    def must(self, *words, excused=None):
        """Runs it and returns what it printed; it must succeed, or print what is excused."""
        done = self.run(*words)
        printed = done.stdout.decode()
        if done.returncode != 0 and not (excused and excused(printed)):
            said = printed + done.stderr.decode(errors="replace")
            raise Failed(f"cairn {' '.join(words)}: exit {done.returncode}: {said}")
        return printed

    def show(self, *words, excused=None):
        """Runs it and shows the command and its output."""
        print(f"  {paint('1;33', '$ cairn ' + ' '.join(words))}")
        for line in self.must(*words, excused=excused).rstrip().splitlines():
            print(f"    {line}", flush=True)


def only_room_is_short(status):
    """Whether `cairn status` finds nothing wrong but that this machine's disk is nearly full."""
    findings = [line for line in status.splitlines() if "  degraded: " in line]
    return status.startswith("DEGRADED:") and all(" left of " in line for line in findings)


def read_manifest(path):
    """ID by path, of what was stored."""
    stored = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if not line.startswith("#"):
                file_id, _, _, name = line.rstrip("\n").split("\t")
                stored[name] = file_id
    return stored


def expect_same_folder(stored, original, copy):
    """Every file of the manifest is there, byte for byte, and no other."""
    names = files_below(original)
    above = os.path.basename(original)
    if sorted(os.path.relpath(path, above) for path in stored) != names:
        raise Failed("the manifest and the folder name different files")
    if files_below(os.path.join(copy, above)) != names:
        raise Failed("the folder and what was read back name different files")
    for name in names:
        if not same_file(os.path.join(original, name), os.path.join(copy, above, name)):
            raise Failed(f"{name} was read back with other content")
    fact(f"{len(names)} files were read back and are the same, byte for byte")


class Demo:
    """The chapters, in order."""

    def __init__(self, arguments, folder):
        self.folder = folder
        self.kept = bool(arguments.keep)
        self.large_bytes = arguments.large_mib * MIB
        self.node = Node(arguments.standalone, os.path.join(folder, "data"), os.path.join(folder, "node.log"))
        self.cairn = Cairn(arguments.cairn, self.node, folder)
        self.photos = os.path.join(folder, "files")
        self.more = os.path.join(folder, "more-files")
        self.large = os.path.join(folder, "large.bin")
        self.manifest = os.path.join(folder, "manifest")
        self.large_id = None
        self.stored = {}

    def run(self):
        try:
            self.start()
            self.put()
            self.look()
            self.read_back()
            self.kill_in_the_middle()
            self.delete()
            self.farewell()
        finally:
            self.node.stop()

    def start(self):
        chapter(1, "A tracker and a storage, in one process")
        seconds = self.node.start()
        fact(f"cairn-standalone serves on {self.node.listen} after {seconds:.2f} s")
        note(f"its data is in {self.node.data}, its log in {self.node.log}")

    def put(self):
        chapter(2, "Real files go in")
        total = make_folder(self.photos, seed=1)
        make_large(self.large, self.large_bytes)
        count = len(files_below(self.photos))
        note(f"a folder of {count} files from this machine ({size_text(total)}), and one of {size_text(self.large_bytes)}")
        began = time.monotonic()
        self.cairn.must("put", "-r", os.path.basename(self.photos), "--manifest", self.manifest)
        seconds = time.monotonic() - began
        self.stored = read_manifest(self.manifest)
        expect(len(self.stored) == count, f"{count} files stored and synced to disk: {rate_text(total, seconds)}")
        began = time.monotonic()
        answer = json.loads(self.cairn.must("put", self.large, "--json"))
        seconds = time.monotonic() - began
        self.large_id = answer["file_id"]
        fact(f"{size_text(self.large_bytes)} stored and synced to disk: {rate_text(self.large_bytes, seconds)}")
        note("each got an ID, such as")
        note(self.large_id)

    def look(self):
        chapter(3, "What the cluster says")
        # Nodes report once a second.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            nodes = [json.loads(line) for line in self.cairn.must("nodes", "--json").splitlines()]
            if sum(path["files"] for node in nodes for path in node["store_paths"]) > len(self.stored):
                break
            time.sleep(0.1)
        self.cairn.show("status", excused=only_room_is_short)
        self.cairn.show("nodes")
        self.cairn.show("stat", self.large_id)

    def read_back(self):
        chapter(4, "Everything comes out as it went in")
        copy = os.path.join(self.folder, "copy")
        began = time.monotonic()
        self.cairn.must("get", "--manifest", self.manifest, "-o", copy)
        seconds = time.monotonic() - began
        expect_same_folder(self.stored, self.photos, copy)
        note(f"in {seconds:.1f} s")
        shutil.rmtree(copy)
        self.expect_large("the large file is the same, byte for byte")

    def expect_large(self, text):
        """Reads the large file through a pipe and compares it."""
        began = time.monotonic()
        # pylint: disable=consider-using-with
        reader = subprocess.Popen(
            self.cairn.arguments("get", self.large_id, "-o", "-"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        same = True
        with open(self.large, "rb") as original:
            while True:
                block = original.read(4 * MIB)
                if reader.stdout.read(len(block) or 1) != block:
                    same = False
                    break
                if not block:
                    break
        if not same:
            reader.kill()
        error = reader.stderr.read().decode(errors="replace")
        reader.wait()
        if not same or reader.returncode != 0:
            raise Failed(f"{text}: it is not. {error}")
        fact(f"{text}: {rate_text(self.large_bytes, time.monotonic() - began)}")

    def kill_in_the_middle(self):
        chapter(5, "kill -9 in the middle of uploads")
        make_folder(self.more, seed=2)
        make_large(os.path.join(self.more, "large-too.bin"), self.large_bytes // 4)
        count = len(files_below(self.more))
        manifest = os.path.join(self.folder, "manifest-more")
        # pylint: disable=consider-using-with
        upload = subprocess.Popen(
            self.cairn.arguments("put", "-r", os.path.basename(self.more), "--manifest", manifest),
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        # A manifest gets a line for each file as soon as it is acknowledged.
        while upload.poll() is None and count_entries(manifest) < count // 3:
            time.sleep(0.001)
        if upload.poll() is not None:
            raise Failed(f"the upload was over before the kill: {upload.stderr.read().decode(errors='replace')}")
        self.node.kill()
        acknowledged = count_entries(manifest)
        fact(f"killed process {self.node.process.pid} when {acknowledged} of {count} files were acknowledged")
        seconds = self.node.start()
        fact(f"started again, ready after {seconds:.2f} s")
        error = upload.stderr.read().decode(errors="replace")
        expect(upload.wait() == 0, "the upload that was cut went on by itself and finished" + (f" {error}" if upload.returncode else ""))
        stored = read_manifest(manifest)
        copy = os.path.join(self.folder, "copy")
        self.cairn.must("get", "--manifest", manifest, "-o", copy)
        expect_same_folder(stored, self.more, copy)
        shutil.rmtree(copy)
        expect(len(set(stored.values())) == count, "and none was stored twice by the repetition")
        self.cairn.must("get", "--manifest", self.manifest, "-o", copy)
        expect_same_folder(self.stored, self.photos, copy)
        shutil.rmtree(copy)
        self.expect_large("the large file too")

    def delete(self):
        chapter(6, "Deleted is deleted")
        self.cairn.must("rm", self.large_id)
        gone = self.cairn.run("stat", self.large_id)
        expect(gone.returncode != 0, "the large file is gone")
        note(gone.stderr.decode(errors="replace").strip().splitlines()[0])
        self.cairn.must("rm", "--manifest", self.manifest)
        gone = self.cairn.run("stat", next(iter(self.stored.values())))
        expect(gone.returncode != 0, f"and so are the {len(self.stored)} files of the manifest")

    def farewell(self):
        chapter("✓", "Try it yourself")
        data = self.node.data if self.kept else "/tmp/cairn"
        print(f"""
  {self.node.program} --data {data} --listen 127.0.0.1:7700 &
  export CAIRN_TRACKERS=127.0.0.1:7700
  {self.cairn.program} put README.md
  {self.cairn.program} --help

  ./dev cluster start --groups 2     a tracker and two storages, each its own process
  ./dev test                         all tests
  ./dev bench --quick                how fast it is here
  docs/architecture.md               how it works""")


def count_entries(path):
    try:
        with open(path, "rb") as f:
            # The first line says what it is.
            return max(0, f.read().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--standalone", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--cairn", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", metavar="DIR", help="put everything there and keep it (it must not exist)")
    parser.add_argument("--large-mib", type=int, default=1024, metavar="N", help="size of the large file (default: 1024)")
    arguments = parser.parse_args()

    if arguments.keep:
        folder = os.path.abspath(arguments.keep)
        os.makedirs(folder)
    else:
        folder = tempfile.mkdtemp(prefix="cairn-demo-")
    # The large file twice, a quarter of it twice, and the rest.
    needed = arguments.large_mib * MIB * 5 // 2 + GIB
    if shutil.disk_usage(folder).free < needed:
        print(f"{folder} has less than {size_text(needed)} free; TMPDIR=… or --large-mib 64", file=sys.stderr)
        return 1
    try:
        Demo(arguments, folder).run()
    except Failed as failure:
        print(f"\n  {paint('1;31', '✗ ' + str(failure))}", file=sys.stderr)
        return 1
    finally:
        if arguments.keep:
            print(f"\n  Everything is in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
