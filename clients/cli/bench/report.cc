#include "clients/cli/bench/report.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/format.h"
#include "clients/cli/result_json.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// Figures that a comparison is about.
constexpr const char* kCompared[] = {"operations_per_second",
                                     "bytes_per_second",
                                     "p50_us",
                                     "p99_us",
                                     "server_cpu_seconds_per_1000",
                                     "client_cpu_seconds_per_1000"};

double Micros(int64_t nanos) { return static_cast<double>(nanos) / 1000; }

std::string FormatMicros(double micros) {
  if (micros < 1000) return absl::StrFormat("%.0f us", micros);
  if (micros < 1e6) return absl::StrFormat("%.2f ms", micros / 1000);
  return absl::StrFormat("%.2f s", micros / 1e6);
}

double CpuPer1000(absl::Duration cpu, int64_t operations) {
  return operations == 0 ? 0
                         : absl::ToDoubleSeconds(cpu) * 1000 /
                               static_cast<double>(operations);
}

// CPU seconds for 1,000 operations, as milliseconds for one.
std::string FormatCpu(const Json& phase, const char* name) {
  if (!phase.contains(name)) return "-";
  return FormatMicros(phase[name].get<double>() * 1000);
}

}  // namespace

Json PhaseJson(const LoadOptions& options, const LoadResult& result,
               const ResourceUse& use) {
  const double seconds = absl::ToDoubleSeconds(result.elapsed);
  Json phase;
  phase["operation"] = OperationName(options.operation);
  phase["operations"] = result.operations;
  phase["seconds"] = seconds;
  phase["operations_per_second"] =
      static_cast<double>(result.operations) / seconds;
  phase["bytes"] = result.bytes;
  phase["bytes_per_second"] = static_cast<double>(result.bytes) / seconds;
  phase["p50_us"] = Micros(result.latency.Percentile(50));
  phase["p95_us"] = Micros(result.latency.Percentile(95));
  phase["p99_us"] = Micros(result.latency.Percentile(99));
  phase["p99_9_us"] = Micros(result.latency.Percentile(99.9));
  phase["max_us"] = Micros(result.latency.Max());
  phase["client_cpu_seconds_per_1000"] =
      CpuPer1000(use.client_cpu, result.operations);
  if (use.server_cpu.has_value()) {
    phase["server_cpu_seconds_per_1000"] =
        CpuPer1000(*use.server_cpu, result.operations);
    phase["server_resident_bytes"] = use.server_resident_bytes;
  }
  phase["in_flight"] = options.in_flight;
  phase["mode"] = result.blocking ? "blocking" : "callback";
  phase["level"] = LevelName(options.durability.level);
  phase["replicas"] = options.durability.replicas;
  phase["required"] =
      options.durability.policy == client::ReplicaPolicy::kRequired;
  phase["errors"] = result.errors;
  phase["damaged"] = result.damaged;
  phase["errors_by_reason"] = Json::object();
  for (const auto& [reason, number] : result.errors_by_reason) {
    phase["errors_by_reason"][reason] = number;
  }
  phase["interrupted"] = result.interrupted;
  return phase;
}

std::string ReportTable(const Json& report) {
  Table table("lrrrrrrrrrrr");
  table.AddRow({"OPERATION", "COUNT", "ERRORS", "OP/S", "BYTES/S", "P50", "P95",
                "P99", "P99.9", "SERVER CPU", "CLIENT CPU", "SERVER MEMORY"});
  for (const Json& phase : report["phases"]) {
    table.AddRow(
        {phase["operation"].get<std::string>(),
         absl::StrCat(phase["operations"].get<int64_t>()),
         absl::StrCat(phase["errors"].get<int64_t>()),
         absl::StrFormat("%.0f", phase["operations_per_second"].get<double>()),
         FormatRate(phase["bytes_per_second"].get<double>()),
         FormatMicros(phase["p50_us"].get<double>()),
         FormatMicros(phase["p95_us"].get<double>()),
         FormatMicros(phase["p99_us"].get<double>()),
         FormatMicros(phase["p99_9_us"].get<double>()),
         FormatCpu(phase, "server_cpu_seconds_per_1000"),
         FormatCpu(phase, "client_cpu_seconds_per_1000"),
         phase.contains("server_resident_bytes")
             ? FormatBytes(phase["server_resident_bytes"].get<int64_t>())
             : "-"});
  }
  return table.ToString();
}

absl::Status AddRatios(absl::string_view old_report, Json* report) {
  const Json old = Json::parse(old_report.begin(), old_report.end(), nullptr,
                               /*allow_exceptions=*/false);
  if (!old.is_object() || !old.contains("phases") ||
      !old["phases"].is_array()) {
    return absl::InvalidArgumentError(
        "it is not what `cairn bench --json` printed");
  }
  for (Json& phase : (*report)["phases"]) {
    for (const Json& before : old["phases"]) {
      if (!before.is_object() ||
          before.value("operation", "") != phase["operation"]) {
        continue;
      }
      Json ratios = Json::object();
      for (const char* name : kCompared) {
        if (!phase.contains(name) || !before.contains(name) ||
            !before[name].is_number() || before[name].get<double>() <= 0) {
          continue;
        }
        ratios[name] = phase[name].get<double>() / before[name].get<double>();
      }
      phase["ratio"] = ratios;
      break;
    }
  }
  return absl::OkStatus();
}

std::string RatioTable(const Json& report) {
  Table table("lrrrrrr");
  table.AddRow({"NEW / OLD", "OP/S", "BYTES/S", "P50", "P99", "SERVER CPU",
                "CLIENT CPU"});
  for (const Json& phase : report["phases"]) {
    if (!phase.contains("ratio")) continue;
    std::vector<std::string> row = {phase["operation"].get<std::string>()};
    for (const char* name : kCompared) {
      row.push_back(
          phase["ratio"].contains(name)
              ? absl::StrFormat("%.2f", phase["ratio"][name].get<double>())
              : "-");
    }
    table.AddRow(row);
  }
  return table.ToString();
}

}  // namespace cli
}  // namespace cairn
