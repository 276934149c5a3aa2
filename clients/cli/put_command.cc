// cairn put: stores files and prints their IDs.

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/format.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/local_files.h"
#include "clients/cli/manifest.h"
#include "clients/cli/put_grpcurl.h"
#include "clients/cli/result_json.h"
#include "clients/cli/resumable_put.h"
#include "clients/cli/stdin_reader.h"
#include "clients/cli/upload_journal.h"
#include "clients/cli/window.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/executor.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// What is smaller is sent again sooner than its journal is written.
constexpr int64_t kResumableBytesMin = 4 << 20;

absl::StatusOr<client::PutOptions> OptionsOf(const PutFlags& flags,
                                             const Session& session) {
  client::PutOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.group = flags.group;
  options.timeout = session.timeout();
  if (flags.store_path >= 0) {
    options.store_path = static_cast<uint32_t>(flags.store_path);
  }
  if (!flags.request_id.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  CAIRN_ASSIGN_OR_RETURN(options.attributes, ParseAttributes(flags.attributes));
  options.derived_from = flags.derived_from;
  options.prefix = flags.prefix;
  if (flags.dedup || flags.no_dedup) options.dedup = flags.dedup;
  CAIRN_ASSIGN_OR_RETURN(options.lifetime,
                         LifetimeOf(flags.expire_in, flags.expire_at));
  return options;
}

class PutRun {
 public:
  PutRun(const PutFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        window_(flags.jobs, session->environment().interrupt,
                {[this] { SyncManifest(); }, [this] { progress_->Tick(); }}) {}

  ExitCode Run();

 private:
  absl::Status Find();
  void PutFiles();
  void PutResumable(const LocalFile& file, const client::PutOptions& options,
                    const std::shared_ptr<std::atomic<int64_t>>& counted);
  void PutStdin();
  void Stop();  // Ends what is under way, after an interrupt.
  void Report(const std::string& path, int64_t counted_bytes,
              const absl::StatusOr<client::PutResult>& result);
  void SyncManifest();
  void Summarize();

  const PutFlags& flags_;
  Session* const session_;
  client::PutOptions options_;
  std::vector<LocalFile> files_;
  bool from_stdin_ = false;
  ExitCode exit_ = kExitOk;
  int64_t stored_files_ = 0;
  int64_t shared_files_ = 0;
  bool can_resume_ = false;  // Something was begun and is not stored.
  int64_t stored_bytes_ = 0;
  std::unique_ptr<ManifestWriter> manifest_;
  bool manifest_failed_ = false;
  std::unique_ptr<Progress> progress_;
  Window window_;
  // Last, so that it ends before what its callbacks touch.
  std::unique_ptr<client::Client> client_;
};

ExitCode PutRun::Run() {
  absl::StatusOr<client::PutOptions> options = OptionsOf(flags_, *session_);
  if (!options.ok()) return session_->Fail(options.status());
  options_ = *std::move(options);
  const absl::Status found = Find();
  if (!found.ok()) return session_->Fail(found);
  if (!flags_.manifest.empty()) {
    auto manifest = ManifestWriter::Open(FileSystem::Real(), flags_.manifest);
    if (!manifest.ok()) return session_->Fail(manifest.status());
    manifest_ = *std::move(manifest);
  }
  auto client = session_->Connect(flags_.jobs, Session::Patience::kPatient);
  if (!client.ok()) return session_->Fail(client.status());
  client_ = *std::move(client);

  progress_ = session_->MakeProgress("storing");
  if (from_stdin_) {
    PutStdin();
  } else {
    PutFiles();
  }
  progress_->Hide();
  Summarize();
  return exit_;
}

absl::Status PutRun::Find() {
  for (const std::string& path : flags_.paths) {
    if (path == "-") {
      if (flags_.paths.size() > 1) {
        return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                               ErrorReason::kInvalidField,
                               "`-` (standard input) stands alone");
      }
      from_stdin_ = true;
      continue;
    }
    CAIRN_ASSIGN_OR_RETURN(const std::vector<LocalFile> found,
                           FindLocalFiles(path, flags_.recursive));
    files_.insert(files_.end(), found.begin(), found.end());
  }
  if (flags_.resume && from_stdin_) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--resume goes with files: standard input cannot be "
                           "read a second time");
  }
  if (!flags_.resume && (!flags_.journal.empty() || flags_.streams > 1)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--journal and --streams go with --resume");
  }
  if (!flags_.journal.empty() && files_.size() > 1) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--journal goes with one file");
  }
  if (flags_.resume && flags_.journal.empty() && StateHome().empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "neither XDG_STATE_HOME nor HOME is set: say with "
                           "--journal where to remember the upload");
  }
  if (flags_.derived_from.empty() != flags_.prefix.empty()) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--derived-from and --prefix go together");
  }
  if (!flags_.derived_from.empty() && (files_.size() > 1 || flags_.recursive)) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--derived-from goes with one file");
  }
  if (!flags_.derived_from.empty() && !flags_.journal.empty()) {
    // What is in it might be of another file.
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--journal does not go with --derived-from");
  }
  if (!flags_.request_id.empty() && files_.size() > 1) {
    return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                           ErrorReason::kInvalidField,
                           "--request-id goes with one file");
  }
  return absl::OkStatus();
}

void PutRun::PutFiles() {
  int64_t total_bytes = 0;
  for (const LocalFile& file : files_) total_bytes += file.size_bytes;
  progress_->SetTotal(static_cast<int64_t>(files_.size()), total_bytes);

  for (const LocalFile& file : files_) {
    if (manifest_failed_ || !window_.Enter()) break;
    client::PutOptions options = options_;
    options.extension =
        flags_.has_extension ? flags_.extension : ExtensionOf(file.path);
    if (flags_.describe) {
      DescribeFile(BaseName(file.path), options.extension, &options.attributes);
    }
    // What the progress has counted of this file.
    const auto counted = std::make_shared<std::atomic<int64_t>>(0);
    options.progress = [this, counted](int64_t done, absl::optional<int64_t>) {
      progress_->AddBytes(done - counted->exchange(done));
    };
    if (flags_.resume && file.size_bytes >= kResumableBytesMin) {
      PutResumable(file, options, counted);
      continue;
    }
    client_->PutFileAsync(
        file.path, options,
        [this, &file, counted](absl::StatusOr<client::PutResult> result) {
          window_.Leave([this, &file, counted, result = std::move(result)] {
            Report(file.path, *counted, result);
          });
        });
  }
  if (!window_.Drain()) Stop();
}

void PutRun::PutResumable(
    const LocalFile& file, const client::PutOptions& options,
    const std::shared_ptr<std::atomic<int64_t>>& counted) {
  std::string source = AbsolutePath(file.path);
  if (!options.derived_from.empty()) {
    // The same content may be uploaded as several files.
    absl::StrAppend(&source, "\n", options.derived_from, "\n", options.prefix,
                    ".", options.extension);
  }
  ResumablePut::Start(
      client_.get(), file.path,
      flags_.journal.empty() ? DefaultJournalPath(StateHome(), source)
                             : AbsolutePath(flags_.journal),
      options, flags_.streams,
      [this, &file, counted](absl::StatusOr<client::PutResult> result,
                             std::vector<std::string> notes) {
        window_.Leave([this, &file, counted, result = std::move(result),
                       notes = std::move(notes)] {
          for (const std::string& note : notes) {
            progress_->Hide();
            session_->Say(absl::StrCat("cairn: ", note));
          }
          const absl::Status& status = result.status();
          can_resume_ |=
              absl::IsCancelled(status) || absl::IsUnavailable(status) ||
              absl::IsAborted(status) || absl::IsDeadlineExceeded(status);
          Report(file.path, *counted, result);
        });
      });
}

void PutRun::PutStdin() {
  StdinReader reader(fileno(session_->environment().in),
                     session_->environment().interrupt);
  client::PutOptions options = options_;
  options.extension = flags_.extension;
  if (flags_.describe) DescribeFile("", options.extension, &options.attributes);
  std::atomic<int64_t> counted{0};
  options.progress = [this, &counted](int64_t done, absl::optional<int64_t>) {
    progress_->AddBytes(done - counted.exchange(done));
  };
  ThreadPool pool("cairn-put", 1, 1);
  if (!window_.Enter()) {
    exit_ = kExitInterrupted;
    return;
  }
  const bool submitted = pool.TrySubmit([&] {
    auto result = client_->PutFrom(&reader, absl::nullopt, options);
    window_.Leave([this, &counted, result = std::move(result)] {
      Report("-", counted, result);
    });
  });
  CAIRN_CHECK(submitted);
  if (!window_.Drain()) exit_ = kExitInterrupted;
  // The pool's end waits for the reader, which sees the interrupt.
}

void PutRun::Stop() {
  exit_ = kExitInterrupted;
  client_.reset();       // Answers everything.
  window_.RunReports();  // What was stored meanwhile counts.
}

void PutRun::Report(const std::string& path, int64_t counted_bytes,
                    const absl::StatusOr<client::PutResult>& result) {
  Json json;
  json["path"] = path;
  if (!result.ok()) {
    progress_->AddBytes(-counted_bytes);
    if (result.status().code() == absl::StatusCode::kCancelled) {
      exit_ = kExitInterrupted;
      return;
    }
    progress_->Hide();
    exit_ = Combine(exit_, session_->FailItem(result.status(), path, json));
    return;
  }
  const client::FileInfo& info = result->info;
  progress_->AddBytes(info.size_bytes - counted_bytes);
  progress_->AddFile();
  ++stored_files_;
  if (result->shared) ++shared_files_;
  stored_bytes_ += info.size_bytes;
  if (manifest_ != nullptr) {
    manifest_->Add({info.file_id, info.size_bytes, info.crc32c, path});
  }
  if (session_->environment().out_is_terminal) progress_->Hide();
  if (session_->json()) {
    AddFileInfo(info, &json);
    json["shared"] = result->shared;
    AddReached(*result, &json);
    session_->PrintJson(json);
  } else if (from_stdin_ || (files_.size() == 1 && !flags_.recursive)) {
    session_->Print(info.file_id);
  } else {
    session_->Print(absl::StrCat(info.file_id, "\t", path));
  }
}

void PutRun::SyncManifest() {
  if (manifest_ == nullptr || manifest_failed_) return;
  const absl::Status synced = manifest_->Sync();
  if (synced.ok()) return;
  // Without its list a folder of files is lost to its owner: stop here.
  manifest_failed_ = true;
  progress_->Hide();
  exit_ = Combine(exit_, session_->Fail(synced, flags_.manifest));
}

void PutRun::Summarize() {
  if (can_resume_) {
    session_->Say("cairn: the same command goes on where this one ended");
  }
  if (exit_ == kExitInterrupted) {
    session_->Say(absl::StrCat(
        "cairn: interrupted; ", stored_files_, " of ",
        Count(static_cast<int64_t>(from_stdin_ ? 1 : files_.size()), "file"),
        " stored"));
    return;
  }
  if (from_stdin_ || (files_.size() == 1 && !flags_.recursive)) {
    if (shared_files_ > 0) {
      session_->Say("cairn: the content is there already, and is shared");
    }
    return;
  }
  const absl::Duration elapsed = progress_->elapsed();
  session_->Say(absl::StrCat(
      "stored ", Count(stored_files_, "file"), ", ", FormatBytes(stored_bytes_),
      " in ", absl::FormatDuration(absl::Trunc(elapsed, absl::Milliseconds(1))),
      " (",
      FormatRate(static_cast<double>(stored_bytes_) /
                 absl::ToDoubleSeconds(elapsed)),
      ")",
      stored_files_ < static_cast<int64_t>(files_.size())
          ? absl::StrCat(
                "; ",
                Count(static_cast<int64_t>(files_.size()) - stored_files_,
                      "file"),
                " not stored")
          : "",
      shared_files_ > 0 ? absl::StrCat("; ", Count(shared_files_, "content"),
                                       " there already, and shared")
                        : ""));
}

}  // namespace

ExitCode RunPut(const PutFlags& flags, Session* session) {
  if (flags.appender) return RunPutAppender(flags, session);
  if (session->flags().print_grpcurl) {
    const absl::StatusOr<std::string> lines = GrpcurlForPut(flags, *session);
    if (!lines.ok()) return session->Fail(lines.status());
    session->Write(*lines);
    return kExitOk;
  }
  return PutRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
