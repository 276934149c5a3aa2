#!/usr/bin/python3
"""Rules of this project that no compiler checks. Prints file:line: what to do.

  layers   who may include gRPC and RocksDB (docs/architecture.md)
  sleeps   tests wait for conditions, not for time to pass; to look again every
           100 ms or less is no sleep
  mutexes  cairn::Mutex, since TSan cannot see into absl::Mutex
  guards   include guards are named after the path
  links    relative links in Markdown lead somewhere
  pages    a page under docs/ that code names exists
  licence  LICENSE is the Apache License 2.0

Exits 1 if any is broken. With --code, only what concerns code: so the test of
the default suite; `./dev check rules` checks all.
"""

import os
import re
import subprocess
import sys

# (what, pattern of the #include, path prefixes that may)
_LAYERS = [
    (
        "gRPC",
        re.compile(r'#include [<"](grpc/|grpcpp/|grpc\+\+/|.*\.grpc\.pb\.h)'),
        [
            "lib/rpc/",
            "services/storage/api/",
            "services/storage/attach/",
            "services/storage/sync/",
            "services/storage/main/",
            "services/tracker/api/",
            "services/tracker/main/",
            "services/standalone/",
            "clients/",
            "integration_tests/",
            "tools/",
        ],
    ),
    (
        "RocksDB",
        re.compile(r'#include [<"]rocksdb/'),
        ["services/storage/store/", "services/tracker/state/"],
    ),
]

# Folders that know nothing of the outside world, and what that means.
_CORE = re.compile(r"^services/[a-z_]+/core/")
_CORE_MUST_NOT = re.compile(
    r'#include [<"](grpc|rocksdb/|proto/|cairn/|lib/rpc/|lib/io/|services/[a-z_]+/(api|state|store)/)'
)

_SLEEP = re.compile(
    r"\b(sleep_for|sleep_until|absl::SleepFor|usleep|nanosleep|[^_\w.]sleep)\s*\("
)
# Between two looks at a condition, where nothing tells that it has changed.
_POLL = re.compile(r"absl::SleepFor\(absl::Milliseconds\((\d{1,2}|100)\)\)")
_MUTEX = re.compile(r"\babsl::(Mutex|MutexLock|CondVar|Notification|Condition)\b")
_DOCS_PAGE = re.compile(r"\bdocs/[A-Za-z0-9_./-]+\.md\b")
_MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Findings:
    """What is wrong, and where."""

    def __init__(self):
        self.lines = []

    def add(self, path, number, text):
        self.lines.append("%s:%d: %s" % (path, number, text))


def tracked_files():
    """Files of the checkout that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ).stdout.splitlines()
    return sorted(f for f in set(listed) if os.path.isfile(f))


def walked_files():
    """Files below the current folder, where there is no git (a test's sandbox)."""
    found = []
    for folder, folders, names in os.walk(".", followlinks=True):
        folders[:] = [f for f in folders if not f.startswith((".", "bazel-"))]
        found += [os.path.relpath(os.path.join(folder, n), ".") for n in names]
    return sorted(found)


def read_lines(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def guard_of(path):
    return "CAIRN_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"


def check_cpp(path, lines, findings):
    service_test = re.match(r"services/[a-z_]+/[a-z_]+_test\.cc$", path) is not None
    is_test = "_test.cc" in path or path.startswith(("integration_tests/", "lib/testing/"))
    for number, line in enumerate(lines, 1):
        for what, pattern, allowed in _LAYERS:
            if service_test and what == "gRPC":
                continue  # It calls the service as a client does.
            if pattern.search(line) and not path.startswith(tuple(allowed)):
                findings.add(path, number, "%s stays in %s" % (what, ", ".join(allowed)))
        if _CORE.match(path) and not is_test and _CORE_MUST_NOT.search(line):
            findings.add(path, number, "core/ knows no gRPC, RocksDB, messages or files")
        code = line.split("//")[0]
        if is_test and _SLEEP.search(_POLL.sub("", code)):
            findings.add(path, number, "wait for a condition with a deadline instead of sleeping")
        if _MUTEX.search(code) and path != "lib/base/mutex.h":
            findings.add(path, number, "use the types of lib/base/mutex.h")
    if path.endswith(".h"):
        guard = "#ifndef " + guard_of(path)
        if guard not in lines:
            findings.add(path, 1, "the include guard is to be %s" % guard_of(path))


def check_pages(path, lines, files, findings):
    """Pages under docs/ that the file names exist."""
    for number, line in enumerate(lines, 1):
        for page in _DOCS_PAGE.findall(line):
            if page not in files:
                findings.add(path, number, "%s does not exist" % page)


def check_links(path, lines, files, findings):
    """Relative links lead to a file or a folder of the checkout."""
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if fenced:
            continue
        for link in _MARKDOWN_LINK.findall(line):
            if re.match(r"[a-z]+:|#", link):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), link.split("#")[0]))
            if target not in files and not any(f.startswith(target + "/") for f in files):
                findings.add(path, number, "the link to %s leads nowhere" % link)


def check_licence(files, findings):
    text = "\n".join(read_lines("LICENSE")) if "LICENSE" in files else ""
    if "Apache License" not in text or "Version 2.0, January 2004" not in text:
        findings.add("LICENSE", 1, "is to be the Apache License 2.0")


def main():
    files = tracked_files() if os.path.isdir(".git") or os.path.isfile(".git") else walked_files()
    known = set(files)
    findings = Findings()
    code_only = "--code" in sys.argv[1:]
    for path in files:
        # Not ours, and the rules' own test, which names what must not be.
        if path.startswith(("third_party/", "tools/lint/")):
            continue
        if path.endswith((".h", ".cc")):
            lines = read_lines(path)
            check_cpp(path, lines, findings)
            if not code_only:
                check_pages(path, lines, known, findings)
        elif code_only:
            continue
        elif path.endswith((".proto", ".bzl", ".bazel", ".bazelrc", ".sh")):
            check_pages(path, read_lines(path), known, findings)
        elif path.endswith(".md"):
            lines = read_lines(path)
            check_links(path, lines, known, findings)
    check_licence(known, findings)
    for line in findings.lines:
        print(line)
    print("%d files, %d findings" % (len(files), len(findings.lines)))
    return 1 if findings.lines else 0


if __name__ == "__main__":
    sys.exit(main())
