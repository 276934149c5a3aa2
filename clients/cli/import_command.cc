// cairn import: stores what `cairn export` wrote, under new IDs, and keeps a
// list of which became which.
//
//   DIR/manifest.jsonl, DIR/files/… ─▶ put ─▶ CRC as the manifest says ─▶ list

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "clients/cli/commands.h"
#include "clients/cli/durable_lines.h"
#include "clients/cli/export_manifest.h"
#include "clients/cli/format.h"
#include "clients/cli/local_files.h"
#include "clients/cli/result_json.h"
#include "clients/cli/window.h"
#include "clients/cpp/client.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "lib/io/file_system.h"
#include "lib/rpc/cluster_auth.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

constexpr int64_t kManifestBytesMax = int64_t{16} << 30;

// The same for the same file of the same import: a put that is repeated after a
// crash finds what the first one stored.
Uuid RequestIdOf(const Uuid& import, const client::FileInfo& file) {
  const std::string hash = rpc::HmacSha256(
      import.bytes(), absl::StrCat(file.file_id, "\n", file.size_bytes, "\n",
                                   FormatCrc(file.crc32c)));
  return *Uuid::FromBytes(absl::string_view(hash).substr(0, 16));
}

std::string ExtensionOfId(const std::string& file_id) {
  const absl::StatusOr<FileIdParts> parts = ParseFileId(file_id);
  if (!parts.ok()) return "";
  const size_t dot = parts->name.find('.');
  return dot == std::string::npos ? "" : parts->name.substr(dot + 1);
}

absl::Status Differs() {
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kChecksumMismatch,
      "the file is missing, or not as the manifest says; `cairn export` "
      "fetches it again");
}

class ImportRun {
 public:
  ImportRun(const ImportFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        folder_(AbsolutePath(flags.folder)),
        progress_(session->MakeProgress("importing")),
        window_(flags.jobs, session->environment().interrupt,
                {[this] { SyncList(); }, [this] { progress_->Tick(); }}) {}

  ExitCode Run() {
    const absl::Status begun = Begin();
    if (!begun.ok()) return session_->Fail(begun, flags_.folder);
    auto client = session_->Connect(flags_.jobs, Session::Patience::kPatient);
    if (!client.ok()) return session_->Fail(client.status());
    client_ = *std::move(client);
    LeaveOutExpired();
    std::vector<const ExportedFile*> appenders;
    int64_t files = 0;
    int64_t bytes = 0;
    for (const auto& [id, file] : export_.files) {
      if (map_.new_ids.count(id) > 0) continue;
      ++files;
      bytes += file.info.size_bytes;
    }
    there_ = static_cast<int64_t>(export_.files.size()) - files;
    progress_->SetTotal(files, bytes);
    for (const auto& [id, file] : export_.files) {
      if (map_.new_ids.count(id) > 0) continue;
      if (file.info.kind == client::FileKind::kAppender) {
        appenders.push_back(&file);
        continue;
      }
      if (list_failed_ || !window_.Enter()) break;
      Put(file);
    }
    if (window_.Drain()) {
      for (const ExportedFile* const file : appenders) {
        if (list_failed_ || session_->environment().interrupt->raised()) break;
        Report(*file, 0, PutAppender(*file));
        SyncList();
        progress_->Tick();
      }
    } else {
      client_->Cancel();
      client_.reset();  // Answers everything.
      window_.RunReports();
    }
    SyncList();
    if (session_->environment().interrupt->raised()) exit_ = kExitInterrupted;
    progress_->Hide();
    session_->Say(absl::StrCat(
        exit_ == kExitInterrupted ? "cairn: interrupted; " : "", "imported ",
        Count(stored_files_, "file"), ", ", FormatBytes(progress_->bytes()),
        "; ", there_, " were there",
        expired_ > 0 ? absl::StrCat(", ", expired_, " have expired") : ""));
    if (exit_ != kExitOk) {
      session_->Say("cairn: the same command goes on where this one ended");
    }
    return exit_;
  }

 private:
  // Nobody would find them, and no node takes them.
  void LeaveOutExpired() {
    const absl::Time now = absl::Now();
    for (auto it = export_.files.begin(); it != export_.files.end();) {
      if (it->second.info.expire_time.value_or(absl::InfiniteFuture()) > now) {
        ++it;
        continue;
      }
      ++expired_;
      it = export_.files.erase(it);
    }
  }

  absl::Status Begin() {
    CAIRN_ASSIGN_OR_RETURN(
        const std::string manifest,
        ReadWholeFile(FileSystem::Real(), folder_ + "/manifest.jsonl",
                      kManifestBytesMax));
    CAIRN_ASSIGN_OR_RETURN(export_, ParseExport(manifest));
    if (export_.tokens.empty()) {
      session_->Say(
          "cairn: the export did not end: what is there of it is imported");
    }
    const std::string list = flags_.map.empty() ? folder_ + "/import.list"
                                                : AbsolutePath(flags_.map);
    std::string text;
    CAIRN_ASSIGN_OR_RETURN(list_,
                           OpenLines(FileSystem::Real(), list,
                                     ImportHeading(Uuid::Random()), &text));
    CAIRN_ASSIGN_OR_RETURN(map_, ParseImportMap(text));
    CAIRN_ASSIGN_OR_RETURN(options_.durability,
                           ParseDurability(flags_.durability));
    options_.group = flags_.group;
    return absl::OkStatus();
  }

  client::PutOptions OptionsOf(const ExportedFile& file) const {
    client::PutOptions options = options_;
    options.extension = ExtensionOfId(file.info.file_id);
    options.attributes = file.info.attributes;
    options.lifetime.expire_time = file.info.expire_time;
    options.request_id = RequestIdOf(map_.import, file.info);
    return options;
  }

  void Put(const ExportedFile& file) {
    if (!HasContent(JoinPath(folder_, file.path), file.info.size_bytes,
                    file.info.crc32c)) {
      window_.Leave([this, &file] { Report(file, 0, Differs()); });
      return;
    }
    client::PutOptions options = OptionsOf(file);
    const auto counted = std::make_shared<std::atomic<int64_t>>(0);
    options.progress = [this, counted](int64_t done, absl::optional<int64_t>) {
      progress_->AddBytes(done - counted->exchange(done));
    };
    client_->PutFileAsync(
        JoinPath(folder_, file.path), options,
        [this, &file, counted](absl::StatusOr<client::PutResult> result) {
          window_.Leave([this, &file, counted, result = std::move(result)] {
            Report(file, *counted, result);
          });
        });
  }

  // Goes on where an earlier run has left it.
  absl::StatusOr<client::PutResult> PutAppender(const ExportedFile& file) {
    if (!HasContent(JoinPath(folder_, file.path), file.info.size_bytes,
                    file.info.crc32c)) {
      return Differs();
    }
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<File> in,
                           FileSystem::Real()->Open(
                               JoinPath(folder_, file.path), OpenMode::kRead));
    std::string piece(static_cast<size_t>(client::Client::kUpdateBytesMax),
                      '\0');
    CAIRN_ASSIGN_OR_RETURN(client::PutResult result,
                           client_->CreateAppender("", OptionsOf(file)));
    CAIRN_ASSIGN_OR_RETURN(result.info, client_->Stat(result.info.file_id));
    while (result.info.size_bytes < file.info.size_bytes) {
      if (session_->environment().interrupt->raised()) {
        return absl::CancelledError("interrupted");
      }
      CAIRN_ASSIGN_OR_RETURN(
          const size_t got,
          in->ReadAt(result.info.size_bytes, piece.data(), piece.size()));
      if (got == 0) break;
      client::UpdateOptions options;
      options.durability = options_.durability;
      options.if_size_bytes = result.info.size_bytes;
      CAIRN_ASSIGN_OR_RETURN(
          result,
          client_->Append(result.info.file_id,
                          absl::string_view(piece.data(), got), options));
    }
    return result;
  }

  void Report(const ExportedFile& file, int64_t counted_bytes,
              const absl::StatusOr<client::PutResult>& result) {
    absl::Status status = result.status();
    if (status.ok() && (result->info.size_bytes != file.info.size_bytes ||
                        result->info.crc32c != file.info.crc32c)) {
      status = ErrorWithReason(
          absl::StatusCode::kDataLoss, ErrorReason::kChecksumMismatch,
          absl::StrCat("has ", result->info.size_bytes, " bytes, CRC ",
                       FormatCrc(result->info.crc32c), "; the manifest says ",
                       file.info.size_bytes, " bytes, CRC ",
                       FormatCrc(file.info.crc32c)));
      if (client_ != nullptr) {
        client_->Delete(result->info.file_id).status().IgnoreError();
      }
    }
    if (!status.ok()) {
      progress_->AddBytes(-counted_bytes);
      if (absl::IsCancelled(status)) {
        exit_ = kExitInterrupted;
        return;
      }
      Json json;
      json["old_file_id"] = file.info.file_id;
      json["path"] = file.path;
      progress_->Hide();
      exit_ = Combine(exit_, session_->FailItem(status, file.path, json));
      return;
    }
    progress_->AddBytes(file.info.size_bytes - counted_bytes);
    progress_->AddFile();
    ++stored_files_;
    list_->Add(ImportLine(file.info.file_id, result->info.file_id));
    if (session_->environment().out_is_terminal) progress_->Hide();
    if (!session_->json()) {
      session_->Print(
          absl::StrCat(file.info.file_id, "\t", result->info.file_id));
      return;
    }
    Json json;
    json["old_file_id"] = file.info.file_id;
    AddFileInfo(result->info, &json);
    session_->PrintJson(json);
  }

  void SyncList() {
    if (list_failed_) return;
    const absl::Status synced = list_->Sync();
    if (synced.ok()) return;
    list_failed_ = true;
    progress_->Hide();
    exit_ = Combine(exit_, session_->Fail(synced, "import.list"));
  }

  const ImportFlags& flags_;
  Session* const session_;
  const std::string folder_;
  client::PutOptions options_;
  Export export_;
  ImportMap map_;
  std::unique_ptr<DurableLines> list_;
  bool list_failed_ = false;
  ExitCode exit_ = kExitOk;
  int64_t stored_files_ = 0;
  int64_t there_ = 0;
  int64_t expired_ = 0;
  const std::unique_ptr<Progress> progress_;
  Window window_;
  // Last, so that it ends before what its callbacks touch.
  std::unique_ptr<client::Client> client_;
};

}  // namespace

ExitCode RunImport(const ImportFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "--print-grpcurl: an import is no single call"));
  }
  return ImportRun(flags, session).Run();
}

}  // namespace cli
}  // namespace cairn
