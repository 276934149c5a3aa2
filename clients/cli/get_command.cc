// cairn get: reads files back, to files, below a folder, or to standard output.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/local_files.h"
#include "clients/cli/manifest.h"
#include "clients/cli/result_json.h"
#include "clients/cli/resumable_get.h"
#include "clients/cli/window.h"
#include "lib/attributes/well_known.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/status_macros.h"
#include "lib/file_id/file_id.h"
#include "lib/io/errno_status.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

// Standard output, until the user's Ctrl-C.
class PipeSink : public client::ContentSink {
 public:
  PipeSink(int fd, const Interrupt* interrupt)
      : fd_(fd), interrupt_(interrupt) {}

  absl::Status Write(const absl::Cord& data) override {
    for (absl::string_view piece : data.Chunks()) {
      while (!piece.empty()) {
        if (interrupt_->raised()) return absl::CancelledError("interrupted");
        pollfd poll_fd = {fd_, POLLOUT, 0};
        const int ready = ::poll(&poll_fd, 1, kInterruptPollMillis);
        if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
        const ssize_t wrote = ::write(fd_, piece.data(), piece.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0 && errno == EPIPE) {
          return absl::AbortedError("standard output was closed");
        }
        if (wrote < 0) return StatusFromErrno(errno, "write", "stdout");
        piece.remove_prefix(static_cast<size_t>(wrote));
      }
    }
    return absl::OkStatus();
  }

 private:
  const int fd_;
  const Interrupt* const interrupt_;
};

// One file to read.
struct Target {
  std::string file_id;
  std::string path;
  absl::optional<ManifestEntry> listed;
};

class GetRun {
 public:
  GetRun(const GetFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        window_(flags.jobs, session->environment().interrupt,
                {nullptr, [this] { progress_->Tick(); }}) {}

  ExitCode Run();

 private:
  absl::Status Plan();
  absl::Status PlanByManifest();
  absl::Status PlanByIds();
  absl::Status ResolveRange();

  // Gives each target the name that it was stored with.
  void ResolveNames();
  void GetFiles();
  void GetToStdout();
  void ReadResumable(const Target& target, const client::GetOptions& options,
                     const std::shared_ptr<std::atomic<int64_t>>& counted);
  void Report(const Target& target, int64_t counted_bytes,
              absl::StatusOr<client::FileInfo> info);
  void Summarize();

  bool to_stdout() const { return flags_.output == "-"; }

  const GetFlags& flags_;
  Session* const session_;
  client::GetOptions options_;
  std::vector<Target> targets_;
  ExitCode exit_ = kExitOk;
  int64_t read_files_ = 0;
  std::unique_ptr<Progress> progress_;
  Window window_;
  // Last, so that they end before what their callbacks touch.
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<ThreadPool> resumable_;
};

ExitCode GetRun::Run() {
  const absl::Status planned = Plan();
  if (!planned.ok()) return session_->Fail(planned);
  auto client = session_->Connect(flags_.jobs, Session::Patience::kPatient);
  if (!client.ok()) return session_->Fail(client.status());
  client_ = *std::move(client);
  options_.timeout = session_->timeout();
  const absl::Status resolved = ResolveRange();
  if (!resolved.ok()) return session_->Fail(resolved, flags_.file_ids[0]);
  if (flags_.original_name) ResolveNames();

  progress_ = session_->MakeProgress("reading");
  if (to_stdout()) {
    GetToStdout();
  } else {
    GetFiles();
  }
  progress_->Hide();
  Summarize();
  return exit_;
}

absl::Status GetRun::Plan() {
  if (flags_.file_ids.empty() == flags_.manifest.empty()) {
    return UsageError("name file IDs, or a list of them with --manifest");
  }
  if (to_stdout() && (flags_.file_ids.size() != 1)) {
    return UsageError("-o - takes one file ID");
  }
  if (!flags_.range.empty() && flags_.file_ids.size() != 1) {
    return UsageError("--range takes one file ID");
  }
  if (flags_.resume && (to_stdout() || !flags_.range.empty())) {
    return UsageError("--resume reads whole files to files");
  }
  if (!flags_.resume && flags_.streams > 1) {
    return UsageError("--streams goes with --resume");
  }
  if (flags_.original_name) {
    std::error_code error;
    if (!flags_.manifest.empty() ||
        (!flags_.output.empty() && !absl::EndsWith(flags_.output, "/") &&
         !std::filesystem::is_directory(flags_.output, error))) {
      return UsageError("-O takes file IDs, and at most a folder with -o");
    }
  }
  return flags_.manifest.empty() ? PlanByIds() : PlanByManifest();
}

absl::Status GetRun::PlanByManifest() {
  CAIRN_ASSIGN_OR_RETURN(const std::vector<ManifestEntry> entries,
                         ReadManifest(FileSystem::Real(), flags_.manifest));
  // What was stored last under a path counts.
  std::map<std::string, ManifestEntry> by_path;
  for (const ManifestEntry& entry : entries) {
    std::string path = SafePath(entry.path);
    if (path.empty() || entry.path == "-") path = BaseName(entry.file_id);
    by_path[path] = entry;
  }
  for (auto& [path, entry] : by_path) {
    targets_.push_back({entry.file_id, JoinPath(flags_.output, path), entry});
  }
  return absl::OkStatus();
}

absl::Status GetRun::PlanByIds() {
  std::error_code error;
  const bool folder = absl::EndsWith(flags_.output, "/") ||
                      flags_.file_ids.size() > 1 ||
                      std::filesystem::is_directory(flags_.output, error);
  for (const std::string& id : flags_.file_ids) {
    CAIRN_RETURN_IF_ERROR(ParseFileId(id).status());
    std::string path = flags_.output;
    if (path.empty() || folder) path = JoinPath(flags_.output, BaseName(id));
    targets_.push_back({id, path, absl::nullopt});
  }
  return absl::OkStatus();
}

absl::Status GetRun::ResolveRange() {
  if (flags_.range.empty()) return absl::OkStatus();
  absl::StatusOr<ByteRange> range = ParseRange(flags_.range);
  if (!range.ok()) return UsageError(range.status().message());
  options_.length = range->length;
  if (range->offset.has_value()) {
    options_.offset = *range->offset;
    return absl::OkStatus();
  }
  CAIRN_ASSIGN_OR_RETURN(const client::FileInfo info,
                         client_->Stat(flags_.file_ids[0]));
  options_.offset = std::max<int64_t>(0, info.size_bytes - *range->length);
  return absl::OkStatus();
}

void GetRun::ResolveNames() {
  client::StatOptions options;
  options.timeout = session_->timeout();
  options.include_attributes = true;
  std::set<std::string> taken;
  std::vector<Target> resolved;
  for (Target& target : targets_) {
    absl::StatusOr<client::FileInfo> info =
        client_->Stat(target.file_id, options);
    if (info.ok()) {
      const auto found = info->attributes.find(std::string(kFileNameAttribute));
      std::string name;
      if (found != info->attributes.end()) name = SafeFileName(found->second);
      // Whoever stored it chose the name: it must not take the place of
      // anything.
      if (!name.empty()) target.path = JoinPath(flags_.output, name);
      std::error_code error;
      if (!taken.insert(target.path).second) {
        target.path = JoinPath(flags_.output, BaseName(target.file_id));
      }
      if (std::filesystem::exists(target.path, error)) {
        info = ErrorWithReason(absl::StatusCode::kAlreadyExists,
                               ErrorReason::kInvalidField,
                               absl::StrCat(target.path, " exists"));
      }
    }
    if (info.ok()) {
      resolved.push_back(std::move(target));
    } else {
      Json json;
      json["file_id"] = target.file_id;
      exit_ = Combine(exit_,
                      session_->FailItem(info.status(), target.file_id, json));
    }
  }
  targets_ = std::move(resolved);
}

void GetRun::GetFiles() {
  int64_t total_bytes = 0;
  bool total_known = true;
  for (const Target& target : targets_) {
    if (target.listed.has_value()) {
      total_bytes += target.listed->size_bytes;
    } else {
      total_known = false;
    }
  }
  progress_->SetTotal(
      static_cast<int64_t>(targets_.size()),
      total_known ? absl::make_optional(total_bytes) : absl::nullopt);
  for (const Target& target : targets_) {
    if (!window_.Enter()) break;
    std::error_code error;
    const std::string folder = ParentOf(target.path);
    std::filesystem::create_directories(folder, error);
    if (error) {
      window_.Leave([this, &target, folder, error] {
        Report(target, 0, StatusFromErrno(error.value(), "create", folder));
      });
      continue;
    }
    client::GetOptions options = options_;
    const auto counted = std::make_shared<std::atomic<int64_t>>(0);
    options.progress = [this, counted](int64_t done,
                                       absl::optional<int64_t> total) {
      if (targets_.size() == 1) progress_->SetTotal(1, total);
      progress_->AddBytes(done - counted->exchange(done));
    };
    if (flags_.resume) {
      ReadResumable(target, options, counted);
      continue;
    }
    client_->GetToFileAsync(
        target.file_id, target.path, options,
        [this, &target, counted](absl::StatusOr<client::FileInfo> info) {
          window_.Leave([this, &target, counted, info = std::move(info)] {
            Report(target, *counted, info);
          });
        });
  }
  if (window_.Drain()) return;
  exit_ = kExitInterrupted;
  client_->Cancel();
  resumable_.reset();  // Waits for those.
  client_.reset();  // Answers everything; files that are not whole are removed.
  window_.RunReports();
}

void GetRun::ReadResumable(
    const Target& target, const client::GetOptions& options,
    const std::shared_ptr<std::atomic<int64_t>>& counted) {
  if (resumable_ == nullptr) {
    resumable_ = std::make_unique<ThreadPool>("cairn-get", flags_.jobs,
                                              static_cast<size_t>(flags_.jobs));
  }
  const bool submitted =
      resumable_->TrySubmit([this, &target, options, counted] {
        std::vector<std::string> notes;
        auto info = GetResumable(client_.get(), target.file_id, target.path,
                                 flags_.streams, options, &notes);
        window_.Leave([this, &target, counted, notes, info = std::move(info)] {
          for (const std::string& note : notes) {
            progress_->Hide();
            session_->Say(absl::StrCat("cairn: ", note));
          }
          Report(target, *counted, info);
        });
      });
  // The window lets no more in than there are threads.
  CAIRN_CHECK(submitted);
}

void GetRun::GetToStdout() {
  std::fflush(session_->environment().out);
  PipeSink sink(fileno(session_->environment().out),
                session_->environment().interrupt);
  std::atomic<int64_t> counted{0};
  client::GetOptions options = options_;
  options.progress = [this, &counted](int64_t done, absl::optional<int64_t>) {
    progress_->AddBytes(done - counted.exchange(done));
  };
  ThreadPool pool("cairn-get", 1, 1);
  if (!window_.Enter()) {
    exit_ = kExitInterrupted;
    return;
  }
  const bool submitted = pool.TrySubmit([&] {
    auto info = client_->GetTo(targets_[0].file_id, &sink, options);
    window_.Leave([this, &counted, info = std::move(info)] {
      Report(targets_[0], counted, info);
    });
  });
  CAIRN_CHECK(submitted);
  if (!window_.Drain()) exit_ = kExitInterrupted;
  // The pool's end waits for the sink, which sees the interrupt.
}

void GetRun::Report(const Target& target, int64_t counted_bytes,
                    absl::StatusOr<client::FileInfo> info) {
  Json json;
  json["file_id"] = target.file_id;
  json["path"] = to_stdout() ? "-" : target.path;
  const bool whole = flags_.range.empty();
  if (info.ok() && whole && target.listed.has_value() &&
      (info->size_bytes != target.listed->size_bytes ||
       info->crc32c != target.listed->crc32c)) {
    info = ErrorWithReason(
        absl::StatusCode::kDataLoss, ErrorReason::kChecksumMismatch,
        absl::StrCat("is there with ", info->size_bytes, " bytes, CRC ",
                     FormatCrc(info->crc32c), "; the manifest says ",
                     target.listed->size_bytes, " bytes, CRC ",
                     FormatCrc(target.listed->crc32c)));
  }
  if (!info.ok()) {
    if (info.status().code() == absl::StatusCode::kCancelled) {
      exit_ = kExitInterrupted;
      return;
    }
    progress_->Hide();
    exit_ = Combine(
        exit_, session_->FailItem(
                   info.status(),
                   target.listed.has_value()
                       ? absl::StrCat(target.path, " (", target.file_id, ")")
                       : target.file_id,
                   json));
    return;
  }
  if (whole) progress_->AddBytes(info->size_bytes - counted_bytes);
  progress_->AddFile();
  ++read_files_;
  if (to_stdout()) return;  // It carries the content and nothing else.
  if (session_->environment().out_is_terminal) progress_->Hide();
  if (session_->json()) {
    AddFileInfo(*info, &json);
    session_->PrintJson(json);
  } else {
    session_->Print(target.path);
  }
}

void GetRun::Summarize() {
  const auto all = static_cast<int64_t>(targets_.size());
  if (exit_ == kExitInterrupted) {
    session_->Say(absl::StrCat("cairn: interrupted; ", read_files_, " of ",
                               Count(all, "file"), " read"));
    return;
  }
  if (all == 1) return;
  const absl::Duration elapsed = progress_->elapsed();
  session_->Say(absl::StrCat(
      "read ", Count(read_files_, "file"), ", ",
      FormatBytes(progress_->bytes()), " in ",
      absl::FormatDuration(absl::Trunc(elapsed, absl::Milliseconds(1))), " (",
      FormatRate(static_cast<double>(progress_->bytes()) /
                 absl::ToDoubleSeconds(elapsed)),
      ")",
      read_files_ < all
          ? absl::StrCat("; ", Count(all - read_files_, "file"), " not read")
          : ""));
}

// Shell lines that read `id` and put its content where -o says.
std::string GrpcurlForGet(const Session& session, const std::string& id,
                          const ByteRange& range, const std::string& output) {
  Json request;
  request["fileId"] = id;
  if (range.offset.value_or(0) > 0) {
    request["offset"] = absl::StrCat(*range.offset);
  }
  if (range.length.has_value()) request["length"] = absl::StrCat(*range.length);
  std::string lines = NodeForFile(session, id);
  absl::StrAppend(&lines,
                  GrpcurlCall(session, kNodeWord,
                              "cairn.storage.v1.FileService/Download", request),
                  " |\n  jq -r '.chunk.data // empty' | base64 -d");
  if (output != "-") {
    absl::StrAppend(&lines, " > ",
                    ShellQuote(output.empty() ? BaseName(id) : output));
  }
  return absl::StrCat(lines, "\n");
}

ExitCode PrintGrpcurl(const GetFlags& flags, Session* session) {
  ByteRange range;
  if (!flags.range.empty()) {
    const absl::StatusOr<ByteRange> parsed = ParseRange(flags.range);
    if (!parsed.ok()) {
      return session->Fail(UsageError(parsed.status().message()));
    }
    range = *parsed;
    if (!range.offset.has_value()) {
      return session->Fail(UsageError(
          "--print-grpcurl knows no size: give --range its first byte"));
    }
  }
  if (flags.file_ids.empty() || flags.original_name) {
    return session->Fail(
        UsageError("--print-grpcurl of get takes file IDs, and no -O"));
  }
  for (const std::string& id : flags.file_ids) {
    session->Write(GrpcurlForGet(*session, id, range, flags.output));
  }
  return kExitOk;
}

}  // namespace

ExitCode RunGet(const GetFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) return PrintGrpcurl(flags, session);
  return GetRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
