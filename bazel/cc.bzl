"""C++ targets with the project's flags. BUILD files load these and no others."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-Wnon-virtual-dtor",

    # gRPC's generated WithCallbackMethod classes hide their base's by design.
    "-Wno-overloaded-virtual",
]

# Generated code and its headers are not ours to warn about.
_GENERATED_COPTS = ["-std=c++20", "-w"]

# Of the many shared libraries that a package names, keep those that are used.
_LINKOPTS = ["-Wl,--as-needed", "-lpthread"]

def cairn_cc_library(name, copts = [], **kwargs):
    cc_library(
        name = name,
        copts = _COPTS + copts,
        **kwargs
    )

def cairn_generated_cc_library(name, **kwargs):
    cc_library(
        name = name,
        copts = _GENERATED_COPTS,
        **kwargs
    )

def cairn_cc_binary(name, copts = [], linkopts = [], **kwargs):
    cc_binary(
        name = name,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        malloc = "//third_party/jemalloc",
        **kwargs
    )

def cairn_cc_test(name, deps = [], copts = [], linkopts = [], **kwargs):
    """A GoogleTest binary. Tests have no time limit that a slow machine breaks."""
    cc_test(
        name = name,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        timeout = kwargs.pop("timeout", "eternal"),
        deps = deps + ["//lib/testing:gtest_main"],
        **kwargs
    )

def cairn_cc_bench(name, deps = [], copts = [], linkopts = [], **kwargs):
    """A Google Benchmark binary, run by hand."""
    cc_binary(
        name = name,
        testonly = True,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS + linkopts,
        tags = kwargs.pop("tags", []) + ["manual"],
        deps = deps + ["//third_party/benchmark:benchmark_main"],
        **kwargs
    )

def cairn_cc_fuzz_test(name, srcs, deps = [], corpus = [], copts = [], **kwargs):
    """A libFuzzer target with its corpus.

    `name` is a normal test that replays the corpus and a short seeded run of
    mutations of it under any compiler. `name`_fuzzer is the libFuzzer binary; it
    needs `--config=fuzz` and is built by `./dev soak fuzz`.

    Args:
      name: of the test; ends with _fuzz_test.
      srcs: define LLVMFuzzerTestOneInput.
      deps: of srcs.
      corpus: inputs, under testdata/.
      copts: extra flags.
      **kwargs: passed on to both.
    """
    cc_test(
        name = name,
        srcs = srcs,
        copts = _COPTS + copts,
        linkopts = _LINKOPTS,
        data = corpus,
        args = ["--corpus=" + native.package_name() + "/testdata"],
        timeout = "eternal",
        deps = deps + ["//lib/testing:fuzz_replay_main"],
        **kwargs
    )
    cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        srcs = srcs,
        copts = _COPTS + copts + ["-fsanitize=fuzzer"],
        linkopts = _LINKOPTS + ["-fsanitize=fuzzer"],
        tags = ["manual", "fuzzer"],
        deps = deps,
        **kwargs
    )
