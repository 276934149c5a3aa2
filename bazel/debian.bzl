"""Repositories made of what Debian 12 installs, so that no build downloads."""

_RULES_CC = "/usr/share/bazel/rules/cc"

# Two files of Debian's rules_cc load a symbol that Debian's Bazel 4 lacks. The
# symbol stands for this one toolchain type.
_PATCHED = [
    "cc/private/rules_impl/cc_flags_supplier.bzl",
    "cc/private/rules_impl/compiler_flag.bzl",
]

def _debian_rules_cc_impl(ctx):
    copied = ctx.execute(["cp", "-rL", _RULES_CC + "/.", str(ctx.path("."))])
    if copied.return_code != 0:
        fail("cannot copy %s (run `./dev setup`): %s" % (_RULES_CC, copied.stderr))

    # A newer Bazel has the symbol, and then rules_cc is taken as it is.
    utils = ctx.read(Label("@bazel_tools//tools/cpp:toolchain_utils.bzl"))
    if "def use_cpp_toolchain" in utils:
        return
    for path in _PATCHED:
        text = ctx.read(path)
        text = text.replace('"find_cpp_toolchain", "use_cpp_toolchain"', '"find_cpp_toolchain"')
        text = text.replace("use_cpp_toolchain()", '["@bazel_tools//tools/cpp:toolchain_type"]')
        ctx.file(path, text, executable = False)

debian_rules_cc = repository_rule(
    implementation = _debian_rules_cc_impl,
    local = True,
    doc = "Debian's rules_cc, mended where it is newer than Debian's Bazel.",
)

def _coverage_tools_impl(ctx):
    ctx.file("BUILD.bazel", """
filegroup(
    name = "coverage_report_generator",
    visibility = ["//visibility:public"],
)
""")

coverage_tools_repository = repository_rule(
    implementation = _coverage_tools_impl,
    doc = "An empty stand-in: `bazel test` asks for it at analysis and never runs it.",
)
