#!/usr/bin/python3
"""count_tests.py counts cases of what ran, and never calls a failure a pass."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "count_tests.py")


def junit(*cases):
    return "<testsuites><testsuite>%s</testsuite></testsuites>" % "".join(cases)


PASSED = '<testcase name="a" status="run"/>'
DISABLED = '<testcase name="b" status="notrun"/>'
SKIPPED = '<testcase name="c" status="run"><skipped message=""/></testcase>'
FAILED = '<testcase name="d" status="run"><failure message=""/></testcase>'


class CountTestsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.events = []

    def tearDown(self):
        self.folder.cleanup()

    def result(self, label, status, xml=None, shard=1):
        outputs = []
        if xml is not None:
            path = os.path.join(self.folder.name, "%d.xml" % len(self.events))
            with open(path, "w", encoding="utf-8") as f:
                f.write(xml)
            outputs = [{"name": "test.xml", "uri": "file://" + path}]
        self.events.append({
            "id": {"testResult": {"label": label, "run": 1, "shard": shard}},
            "testResult": {"status": status, "testActionOutput": outputs},
        })

    def completed(self, label, success):
        payload = {"success": True} if success else {}
        self.events.append({"id": {"targetCompleted": {"label": label}}, "completed": payload})

    def run_script(self, bazel_status=0):
        path = os.path.join(self.folder.name, "events")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(e) + "\n" for e in self.events)
        done = subprocess.run(
            [sys.executable, _SCRIPT, "--bazel-status=%d" % bazel_status, path],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout.splitlines()[-1]

    def test_counts_cases_over_targets_and_shards(self):
        self.result("//a", "PASSED", junit(PASSED, PASSED), shard=1)
        self.result("//a", "PASSED", junit(PASSED), shard=2)
        self.result("//b", "PASSED", junit(PASSED, DISABLED, SKIPPED))
        self.completed("//a", True)
        self.assertEqual(self.run_script(), (0, "4 passed, 0 failed, 2 skipped"))

    def test_a_script_without_cases_counts_as_one(self):
        self.result("//a:script", "PASSED")
        self.assertEqual(self.run_script(), (0, "1 passed, 0 failed"))

    def test_failed_cases_fail_the_run(self):
        self.result("//a", "FAILED", junit(PASSED, FAILED))
        self.assertEqual(self.run_script(3), (1, "1 passed, 1 failed"))

    def test_a_crash_fails_although_the_cases_before_it_passed(self):
        self.result("//a", "FAILED", junit(PASSED))
        self.assertEqual(self.run_script(3), (1, "1 passed, 1 failed"))

    def test_only_the_last_attempt_counts(self):
        self.result("//a", "FAILED", junit(FAILED))
        self.result("//a", "PASSED", junit(PASSED))
        self.assertEqual(self.run_script(), (0, "1 passed, 0 failed"))

    def test_what_does_not_build_fails(self):
        self.result("//a", "PASSED", junit(PASSED))
        self.completed("//b", False)
        self.assertEqual(self.run_script(1), (1, "1 passed, 1 failed"))

    def test_a_failure_of_bazel_itself_fails(self):
        self.result("//a", "PASSED", junit(PASSED))
        self.assertEqual(self.run_script(37), (1, "1 passed, 1 failed"))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.run_script(), (1, "0 passed, 0 failed"))


if __name__ == "__main__":
    unittest.main()
