// cairn bench: what a cluster does a second, how long it takes for it, and what
// it uses.

#include <sys/resource.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cli/bench/content.h"
#include "clients/cli/bench/load.h"
#include "clients/cli/bench/report.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/local_files.h"
#include "clients/cli/manifest.h"
#include "clients/cli/result_json.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr int64_t kReportBytesMax = 16 << 20;

absl::Status AsUsageError(const absl::Status& status) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, status.message());
}

absl::Duration OfTimeval(const timeval& time) {
  return absl::Seconds(time.tv_sec) + absl::Microseconds(time.tv_usec);
}

absl::Duration OwnCpu() {
  rusage use = {};
  ::getrusage(RUSAGE_SELF, &use);
  return OfTimeval(use.ru_utime) + OfTimeval(use.ru_stime);
}

struct ServerUse {
  absl::Duration cpu;
  int64_t resident_bytes = 0;
};

// Of all nodes that are there; unset if one cannot be asked.
absl::optional<ServerUse> UseOfServers(Session* session) {
  const auto nodes = FindNodes(session, "");
  if (!nodes.ok()) return absl::nullopt;
  ServerUse use;
  for (const tracker::v1::Node& node : nodes->nodes()) {
    if (node.state() != tracker::v1::NODE_STATE_ACTIVE) continue;
    const auto state = session->environment().queries->GetState(
        node.identity().address(), QueryTimeout(*session));
    if (!state.ok()) return absl::nullopt;
    use.cpu += absl::Seconds(state->cpu_time().seconds()) +
               absl::Nanoseconds(state->cpu_time().nanos());
    use.resident_bytes += state->resident_bytes();
  }
  return use;
}

absl::StatusOr<LoadOptions> OptionsOf(const BenchFlags& flags,
                                      const Session& session) {
  LoadOptions options;
  options.in_flight = flags.in_flight;
  options.blocking = flags.mode == "blocking";
  if (flags.count > 0) options.count = flags.count;
  if (!flags.duration.empty()) {
    absl::Duration duration;
    if (!absl::ParseDuration(flags.duration, &duration) ||
        duration <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--duration ", flags.duration, " is no time: write 500ms or 10s"));
    }
    options.duration = duration;
  }
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.group = flags.group;
  options.extension = flags.extension;
  options.attributes = flags.attributes;
  CAIRN_ASSIGN_OR_RETURN(options.sizes, SizeDistribution::Parse(flags.size));
  options.seed = flags.seed;
  options.shuffled = flags.order == "random";
  options.verify_content = flags.verify == "content";
  CAIRN_ASSIGN_OR_RETURN(options.mix, ParseMix(flags.mix));
  options.timeout = session.timeout();
  return options;
}

class BenchRun {
 public:
  BenchRun(const BenchFlags& flags, Session* session)
      : flags_(flags), session_(session) {}

  ExitCode Run();

 private:
  absl::Status ReadFiles();
  absl::Status WriteFiles();
  void RunPhase(LoadOptions options, Operation operation);
  ExitCode Finish();

  const BenchFlags& flags_;
  Session* const session_;
  const Content content_;
  std::unique_ptr<client::Client> client_;
  std::vector<BenchFile> files_;
  Json report_;
  ExitCode exit_ = kExitOk;
};

ExitCode BenchRun::Run() {
  absl::StatusOr<LoadOptions> options = OptionsOf(flags_, *session_);
  if (!options.ok()) return session_->Fail(AsUsageError(options.status()));
  std::vector<Operation> operations;
  for (const std::string& name : flags_.operations) {
    const absl::StatusOr<Operation> operation = ParseOperation(name);
    if (!operation.ok()) {
      return session_->Fail(AsUsageError(operation.status()));
    }
    operations.push_back(*operation);
  }
  const absl::Status read = ReadFiles();
  if (!read.ok()) return session_->Fail(read);
  auto client = session_->Connect(flags_.in_flight, Session::Patience::kPrompt);
  if (!client.ok()) return session_->Fail(client.status());
  client_ = *std::move(client);

  report_["cairn_bench"] = 1;  // Of this format.
  report_["time"] = FormatUtc(session_->environment().clock->Now());
  report_["size"] = flags_.size;
  report_["seed"] = flags_.seed;
  report_["phases"] = Json::array();
  for (const Operation operation : operations) {
    RunPhase(*options, operation);
    if (session_->environment().interrupt->raised()) break;
  }
  report_["files_left"] = files_.size();
  return Finish();
}

absl::Status BenchRun::ReadFiles() {
  if (flags_.files_in.empty()) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(std::vector<ManifestEntry> entries,
                         ReadManifest(FileSystem::Real(), flags_.files_in));
  files_.reserve(entries.size());
  for (ManifestEntry& entry : entries) {
    files_.push_back(
        {std::move(entry.file_id), entry.size_bytes, entry.crc32c});
  }
  return absl::OkStatus();
}

// The list replaces an older one: files that were deleted are not in it.
absl::Status BenchRun::WriteFiles() {
  FileSystem* const fs = FileSystem::Real();
  const std::string path = AbsolutePath(flags_.files_out);
  absl::Status removed = fs->Remove(path);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  CAIRN_ASSIGN_OR_RETURN(auto manifest, ManifestWriter::Open(fs, path));
  for (size_t i = 0; i < files_.size(); ++i) {
    manifest->Add({files_[i].file_id, files_[i].size_bytes, files_[i].crc32c,
                   absl::StrCat("bench/", i)});
  }
  return manifest->Sync();
}

void BenchRun::RunPhase(LoadOptions options, Operation operation) {
  options.operation = operation;
  const std::string name = OperationName(operation);
  const absl::optional<ServerUse> before = UseOfServers(session_);
  const absl::Duration own_before = OwnCpu();
  std::unique_ptr<LoadResult> result;
  {
    const std::unique_ptr<Progress> progress =
        session_->MakeProgress(absl::StrCat("bench ", name));
    result = RunLoad(client_.get(), content_, options, &files_, progress.get(),
                     session_->environment().interrupt);
  }
  ResourceUse use;
  use.client_cpu = OwnCpu() - own_before;
  const absl::optional<ServerUse> after = UseOfServers(session_);
  if (before.has_value() && after.has_value()) {
    use.server_cpu = after->cpu - before->cpu;
    use.server_resident_bytes = after->resident_bytes;
  }
  report_["phases"].push_back(PhaseJson(options, *result, use));
  if (result->errors > 0) {
    session_->Say(absl::StrCat("cairn: ", name, ": ",
                               Count(result->errors, "error"),
                               ", the first: ", result->first_error.message(),
                               " (", ReasonText(result->first_error), ")"));
    exit_ =
        Combine(exit_, result->damaged > 0 ? kExitDamaged
                                           : ExitCodeOf(result->first_error));
  }
  if (result->interrupted) exit_ = kExitInterrupted;
}

ExitCode BenchRun::Finish() {
  if (!flags_.files_out.empty()) {
    const absl::Status written = WriteFiles();
    if (!written.ok()) exit_ = Combine(exit_, session_->Fail(written));
  }
  if (!flags_.compare.empty()) {
    const absl::StatusOr<std::string> old = ReadWholeFile(
        FileSystem::Real(), AbsolutePath(flags_.compare), kReportBytesMax);
    absl::Status compared = old.status();
    if (old.ok()) compared = AddRatios(*old, &report_);
    if (!compared.ok()) {
      exit_ = Combine(exit_, session_->Fail(compared, flags_.compare));
    }
  }
  if (session_->json()) {
    session_->PrintJson(report_);
    return exit_;
  }
  session_->Write(ReportTable(report_));
  if (!flags_.compare.empty()) {
    session_->Print("");
    session_->Write(RatioTable(report_));
  }
  return exit_;
}

// The message that a put of the benchmark sends, once.
ExitCode PrintGrpcurl(Session* session) {
  Json item;
  item["itemId"] = "1";
  item["stat"]["fileId"] = "ID";
  Json request;
  request["items"] = Json::array({item});
  session->Print("# bench sends many operations in each message, as here one:");
  session->Write(NodeForUpload(*session, ""));
  session->Print(GrpcurlCall(*session, kNodeWord,
                             "cairn.storage.v1.BatchService/Run", request));
  return kExitOk;
}

}  // namespace

ExitCode RunBench(const BenchFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) return PrintGrpcurl(session);
  return BenchRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
