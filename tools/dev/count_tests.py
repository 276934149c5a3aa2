#!/usr/bin/python3
"""Counts the test cases of one `bazel test` run from its event file.

Prints what failed and closes with the line `N passed, N failed` (`, N skipped`
if some were). A target that leaves no cases of its own, such as a script or the
replay of a fuzz corpus, counts as one, and so does a target that did not build.
Exits 1 if anything failed, or if nothing ran.
"""

import argparse
import json
import sys
import urllib.parse
import xml.etree.ElementTree


class Count:
    """Passed, failed and skipped test cases."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed = passed
        self.failed = failed
        self.skipped = skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def count_xml(path):
    """Cases in a JUnit file; a file that cannot be read has none."""
    count = Count()
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return count
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            # DISABLED_ tests are not run; they count as skipped, not as passed.
            count.skipped += 1
        else:
            count.passed += 1
    return count


def file_of(output):
    return urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)


def count_result(result):
    """Cases of one run of one target (a shard, or the whole)."""
    count = Count()
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            count = count_xml(file_of(output))
    if result.get("status") == "PASSED":
        if count.passed + count.failed + count.skipped == 0:
            count.passed = 1
    elif count.failed == 0:
        # It crashed or timed out: the cases that it wrote, if any, say nothing.
        count.failed = 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bazel-status", type=int, required=True)
    parser.add_argument("events")
    arguments = parser.parse_args()

    total = Count()
    failed = []
    # The last attempt of each shard is what counts.
    results = {}
    with open(arguments.events, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            ident = event.get("id", {})
            if "testResult" in ident:
                key = ident["testResult"]
                results[(key["label"], key.get("run"), key.get("shard"))] = event["testResult"]
            elif "targetCompleted" in ident:
                if not event.get("completed", {}).get("success", False):
                    failed.append((ident["targetCompleted"]["label"], "did not build"))
            elif "configuredLabel" in ident or "unconfiguredLabel" in ident:
                # Sent in place of a target that could not be analysed.
                label = (ident.get("configuredLabel") or ident.get("unconfiguredLabel"))["label"]
                failed.append((label, "cannot be loaded"))

    for (label, _, _), result in results.items():
        count = count_result(result)
        total.add(count)
        if count.failed:
            failed.append((label, result.get("status", "FAILED")))
    not_built = [f for f in failed if f[1] in ("did not build", "cannot be loaded")]
    total.failed += len(not_built)
    if arguments.bazel_status != 0 and total.failed == 0:
        failed.append(("bazel", "exit status %d" % arguments.bazel_status))
        total.failed += 1

    for label, why in sorted(set(failed)):
        print("FAILED %s (%s)" % (label, why))
    line = "%d passed, %d failed" % (total.passed, total.failed)
    if total.skipped:
        line += ", %d skipped" % total.skipped
    print(line, flush=True)
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
