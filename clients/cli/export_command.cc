// cairn export: all files of a cluster, or of a group, into a folder; and then
// what has changed since.
//
//   DIR/manifest.jsonl     what is there, and where a watch goes on
//   DIR/files/group1/…     contents
//
//   list all ─▶ what is not there yet, or not right, is read ─▶ what is not
//   listed any more is marked ─▶ token        --incremental: watch ─▶ the same

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "clients/cli/catalog_access.h"
#include "clients/cli/commands.h"
#include "clients/cli/durable_lines.h"
#include "clients/cli/export_manifest.h"
#include "clients/cli/format.h"
#include "clients/cli/local_files.h"
#include "clients/cli/result_json.h"
#include "clients/cli/window.h"
#include "clients/cpp/catalog.h"
#include "clients/cpp/client.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/io/errno_status.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

class ExportRun {
 public:
  ExportRun(const ExportFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        folder_(AbsolutePath(flags.folder)),
        progress_(session->MakeProgress("exporting")),
        window_(flags.jobs, session->environment().interrupt,
                {[this] { SyncManifest(); }, [this] { progress_->Tick(); }}) {}

  ExitCode Run() {
    const absl::Status begun = Begin();
    if (!begun.ok()) return session_->Fail(begun, flags_.folder);
    const absl::StatusOr<std::vector<CatalogGroup>> groups =
        FindCatalogs(flags_.catalog, session_);
    if (!groups.ok()) return session_->Fail(groups.status());
    auto client = session_->Connect(flags_.jobs, Session::Patience::kPatient);
    if (!client.ok()) return session_->Fail(client.status());
    client_ = *std::move(client);

    GroupTokens tokens = before_.tokens;
    for (const CatalogGroup& group : *groups) {
      const auto token = before_.tokens.find(group.name);
      const absl::Status status =
          flags_.incremental && token != before_.tokens.end()
              ? Follow(group, token->second, &tokens[group.name])
              : ListAll(group, &tokens[group.name]);
      if (session_->environment().interrupt->raised()) break;
      if (!status.ok()) {
        progress_->Hide();
        exit_ = Combine(exit_, session_->Fail(status, group.name));
        break;
      }
    }
    if (!window_.Drain()) {
      client_->Cancel();
      client_.reset();  // Answers everything.
    }
    window_.RunReports();
    if (session_->environment().interrupt->raised()) exit_ = kExitInterrupted;
    if (exit_ == kExitOk) {
      for (const std::string& id : gone_) MarkDeleted(id);
      // Last: with it the manifest is complete.
      manifest_->Add(ExportTokenLine(tokens));
    }
    SyncManifest();
    progress_->Hide();
    session_->Say(absl::StrCat(
        exit_ == kExitInterrupted ? "cairn: interrupted; " : "", "exported ",
        Count(read_files_, "file"), ", ", FormatBytes(read_bytes_), "; ",
        kept_files_, " were there; ", deleted_files_, " were deleted"));
    if (exit_ != kExitOk) {
      session_->Say("cairn: the same command goes on where this one ended");
    }
    return exit_;
  }

 private:
  absl::Status Begin() {
    std::error_code error;
    std::filesystem::create_directories(folder_ + "/files", error);
    if (error) {
      return StatusFromErrno(error.value(), "create", folder_ + "/files");
    }
    std::string text;
    CAIRN_ASSIGN_OR_RETURN(
        manifest_, OpenLines(FileSystem::Real(), folder_ + "/manifest.jsonl",
                             ExportHeading(), &text));
    CAIRN_ASSIGN_OR_RETURN(before_, ParseExport(text));
    if (flags_.incremental && before_.tokens.empty()) {
      return ErrorWithReason(
          absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
          "no export that ended is there: begin without --incremental");
    }
    return absl::OkStatus();
  }

  client::CatalogOptions OptionsOf(const CatalogGroup& group) {
    client::CatalogOptions options = group.options;
    options.on_failure = [this](const std::string& member,
                                const absl::Status& status) {
      progress_->Hide();
      session_->Say(absl::StrCat("cairn: ", member, ": ", status.message(),
                                 "; goes on at the next member"));
    };
    return options;
  }

  absl::Status ListAll(const CatalogGroup& group, std::string* token) {
    client::Catalog catalog(OptionsOf(group));
    const CancelOnInterrupt cancel(session_->environment().interrupt,
                                   {&catalog});
    client::ListQuery query;
    query.include_attributes = true;
    std::set<std::string> listed;
    CAIRN_RETURN_IF_ERROR(
        catalog.List(query, [&](const client::ListPage& page) {
          if (!page.watch_token.empty()) *token = page.watch_token;
          for (const client::FileInfo& file : page.files) {
            listed.insert(file.file_id);
            if (!Consider(file)) return false;
          }
          return true;
        }));
    const std::string prefix = group.name + "/";
    for (auto it = before_.files.lower_bound(prefix);
         it != before_.files.end() &&
         it->first.compare(0, prefix.size(), prefix) == 0;
         ++it) {
      if (listed.count(it->first) == 0) gone_.insert(it->first);
    }
    return absl::OkStatus();
  }

  absl::Status Follow(const CatalogGroup& group, const std::string& from,
                      std::string* token) {
    client::Catalog catalog(OptionsOf(group));
    const CancelOnInterrupt cancel(session_->environment().interrupt,
                                   {&catalog});
    client::WatchQuery query;
    query.resume_token = from;
    query.include_attributes = true;
    query.until_now = true;
    // The last word of each file counts: what came before it is told as that.
    std::map<std::string, client::FileEvent> events;
    CAIRN_RETURN_IF_ERROR(
        catalog.Watch(query, [&](const client::WatchBatch& batch) {
          for (const client::FileEvent& event : batch.events) {
            events[event.file.file_id] = event;
          }
          *token = batch.resume_token;
          return true;
        }));
    for (const auto& [id, event] : events) {
      if (event.kind == client::FileEvent::Kind::kDeleted) {
        gone_.insert(id);
      } else if (!Consider(event.file)) {
        break;
      }
    }
    return absl::OkStatus();
  }

  // Keeps or reads a file. False: no more.
  bool Consider(const client::FileInfo& file) {
    ExportedFile wanted;
    wanted.info = file;
    wanted.path = absl::StrCat("files/", file.file_id);
    const std::string path = JoinPath(folder_, wanted.path);
    const auto known = before_.files.find(file.file_id);
    if (known != before_.files.end() &&
        known->second.info.size_bytes == file.size_bytes &&
        known->second.info.crc32c == file.crc32c &&
        HasContent(path, file.size_bytes, file.crc32c)) {
      ++kept_files_;
      if (known->second.info.version_clock != file.version_clock ||
          known->second.info.attributes != file.attributes) {
        manifest_->Add(ExportLine(wanted));
      }
      return !session_->environment().interrupt->raised();
    }
    if (manifest_failed_ || !window_.Enter()) return false;
    std::error_code error;
    std::filesystem::create_directories(ParentOf(path), error);
    client::GetOptions options;
    options.include_attributes = true;
    const auto counted = std::make_shared<std::atomic<int64_t>>(0);
    options.progress = [this, counted](int64_t done, absl::optional<int64_t>) {
      progress_->AddBytes(done - counted->exchange(done));
    };
    client_->GetToFileAsync(
        file.file_id, path, options,
        [this, wanted = std::move(wanted),
         counted](absl::StatusOr<client::FileInfo> info) mutable {
          window_.Leave([this, wanted = std::move(wanted), counted,
                         info = std::move(info)]() mutable {
            Report(std::move(wanted), *counted, info);
          });
        });
    return true;
  }

  void Report(ExportedFile file, int64_t counted_bytes,
              const absl::StatusOr<client::FileInfo>& info) {
    if (!info.ok()) {
      progress_->AddBytes(-counted_bytes);
      if (absl::IsCancelled(info.status())) {
        exit_ = kExitInterrupted;
        return;
      }
      if (absl::IsNotFound(info.status())) {  // Since it was listed.
        gone_.insert(file.info.file_id);
        return;
      }
      Json json;
      json["file_id"] = file.info.file_id;
      progress_->Hide();
      exit_ = Combine(
          exit_, session_->FailItem(info.status(), file.info.file_id, json));
      return;
    }
    progress_->AddBytes(info->size_bytes - counted_bytes);
    progress_->AddFile();
    ++read_files_;
    read_bytes_ += info->size_bytes;
    file.info = *info;  // What was read; it may be newer.
    manifest_->Add(ExportLine(file));
    if (!session_->json()) return;
    Json json;
    AddFileInfo(file.info, &json);
    json["path"] = file.path;
    session_->PrintJson(json);
  }

  void MarkDeleted(const std::string& id) {
    if (before_.files.count(id) == 0) return;
    ++deleted_files_;
    manifest_->Add(ExportDeletedLine(id));
    if (!session_->json()) return;
    Json json;
    json["file_id"] = id;
    json["deleted"] = true;
    session_->PrintJson(json);
  }

  void SyncManifest() {
    if (manifest_failed_) return;
    const absl::Status synced = manifest_->Sync();
    if (synced.ok()) return;
    manifest_failed_ = true;
    progress_->Hide();
    exit_ = Combine(exit_, session_->Fail(synced, "manifest.jsonl"));
  }

  const ExportFlags& flags_;
  Session* const session_;
  const std::string folder_;
  Export before_;
  std::set<std::string> gone_;
  std::unique_ptr<DurableLines> manifest_;
  bool manifest_failed_ = false;
  ExitCode exit_ = kExitOk;
  int64_t read_files_ = 0;
  int64_t read_bytes_ = 0;
  int64_t kept_files_ = 0;
  int64_t deleted_files_ = 0;
  const std::unique_ptr<Progress> progress_;
  Window window_;
  // Last, so that it ends before what its callbacks touch.
  std::unique_ptr<client::Client> client_;
};

}  // namespace

ExitCode RunExport(const ExportFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "--print-grpcurl: an export is no single call"));
  }
  return ExportRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
