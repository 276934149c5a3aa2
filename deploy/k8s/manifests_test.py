#!/usr/bin/python3
"""What the manifests start is what the programs take.

Every container's command line is run with the real program and --check_config,
on the configuration that the manifest mounts, with the variables that
Kubernetes would set.
"""

import os
import re
import subprocess
import tempfile
import unittest

import yaml

PROGRAMS = {
    "cairn-tracker": os.path.abspath("services/tracker/cairn-tracker"),
    "cairn-storage": os.path.abspath("services/storage/cairn-storage"),
}


def documents():
    with open("deploy/k8s/cairn.yaml", encoding="utf-8") as f:
        return [d for d in yaml.safe_load_all(f) if d]


def of_kind(kind):
    return {d["metadata"]["name"]: d for d in documents() if d["kind"] == kind}


class ManifestsTest(unittest.TestCase):
    def test_every_container_starts_with_a_good_configuration(self):
        configs = of_kind("ConfigMap")
        sets = of_kind("StatefulSet")
        self.assertEqual(sorted(sets), sorted(PROGRAMS))
        for name, stateful_set in sets.items():
            (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
            with tempfile.TemporaryDirectory() as folder:
                secret = os.path.join(folder, "secret")
                with open(secret, "w", encoding="utf-8") as f:
                    f.write("a secret that is long enough\n")
                os.chmod(secret, 0o400)
                for file_name, text in configs[name]["data"].items():
                    with open(os.path.join(folder, file_name), "w", encoding="utf-8") as f:
                        f.write(text.replace("/run/cairn/secret/secret", secret))
                done = self.run_container(name + "-1", container, folder, "--check_config")
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn("good", done.stdout)
                if name == "cairn-storage":
                    self.check_groups(container, folder)

    def check_groups(self, container, folder):
        """Two pods after each other are members of one group."""
        groups = []
        for pod in range(4):
            done = self.run_container(f"cairn-storage-{pod}", container, folder, "--print_config")
            self.assertEqual(done.returncode, 0, done.stdout)
            groups += re.findall(r'^group: "(.*)"', done.stdout, re.M)
        self.assertEqual(groups, ["group1", "group1", "group2", "group2"])

    @staticmethod
    def run_container(pod, container, config_folder, flag):
        words = container["command"] + container["args"]
        words = [w.replace("$(POD_NAME)", pod).replace("/etc/cairn", config_folder) for w in words]
        if words[0] == "sh":
            words[2] += " " + flag
        else:
            words.append(flag)
        given = {e["name"]: e["value"] for e in container["env"] if "value" in e}
        with tempfile.TemporaryDirectory() as bin_folder:
            for program, path in PROGRAMS.items():
                os.symlink(path, os.path.join(bin_folder, program))
            return subprocess.run(
                words,
                env=dict(given, PATH=bin_folder + ":/usr/bin:/bin", POD_NAME=pod),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            )

    def test_ports_and_names_agree(self):
        configs = of_kind("ConfigMap")
        services = of_kind("Service")
        for name, stateful_set in of_kind("StatefulSet").items():
            spec = stateful_set["spec"]
            self.assertEqual(spec["serviceName"], name)
            (container,) = spec["template"]["spec"]["containers"]
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            offered = {p["name"]: p["port"] for p in services[name]["spec"]["ports"]}
            self.assertEqual(ports, offered)
            (config,) = configs[name]["data"].values()
            listen = re.search(r'^listen: ".*:(\d+)"', config, re.M)
            self.assertEqual(int(listen.group(1)), ports["grpc"])
            metrics = re.search(r'^metrics_listen: ".*:(\d+)"', config, re.M)
            self.assertEqual(int(metrics.group(1)), ports["metrics"])
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertEqual(container[probe]["grpc"]["port"], ports["grpc"])
            (first,) = spec["template"]["spec"]["initContainers"]
            mounts = {m["name"] for c in (first, container) for m in c["volumeMounts"]}
            volumes = {v["name"] for v in spec["template"]["spec"]["volumes"]}
            claims = {c["metadata"]["name"] for c in spec["volumeClaimTemplates"]}
            self.assertEqual(mounts, volumes | claims)

    def test_storages_know_every_tracker(self):
        replicas = of_kind("StatefulSet")["cairn-tracker"]["spec"]["replicas"]
        expected = [f"cairn-tracker-{i}.cairn-tracker.cairn.svc:7700" for i in range(replicas)]
        for name, config in of_kind("ConfigMap").items():
            (text,) = config["data"].values()
            self.assertEqual(re.findall(r'^trackers: "(.*)"', text, re.M), expected, name)

    def test_both_belong_to_one_cluster(self):
        ids = {
            re.search(r'^cluster_id: "(.*)"', text, re.M).group(1)
            for config in of_kind("ConfigMap").values()
            for text in config["data"].values()
        }
        self.assertEqual(len(ids), 1)


if __name__ == "__main__":
    unittest.main()
