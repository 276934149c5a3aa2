// cairn rm: deletes files.

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/file_list.h"
#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"
#include "clients/cli/window.h"
#include "lib/base/error_reason.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

class RmRun {
 public:
  RmRun(const RmFlags& flags, Session* session)
      : flags_(flags),
        session_(session),
        window_(flags.jobs, session->environment().interrupt) {}

  ExitCode Run(const std::vector<ListedFile>& files,
               const client::DeleteOptions& options);

 private:
  void Report(const ListedFile& file,
              const absl::StatusOr<client::DeleteResult>& result);

  const RmFlags& flags_;
  Session* const session_;
  ExitCode exit_ = kExitOk;
  int64_t deleted_ = 0;
  absl::optional<absl::Time> undelete_until_;  // The first that ends.
  int64_t derived_deleted_ = 0;
  Window window_;
};

ExitCode RmRun::Run(const std::vector<ListedFile>& files,
                    const client::DeleteOptions& options) {
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session_->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session_->Fail(client.status());
  for (const ListedFile& file : files) {
    if (!window_.Enter()) break;
    (*client)->DeleteAsync(
        file.file_id, options,
        [this, &file](absl::StatusOr<client::DeleteResult> result) {
          window_.Leave([this, &file, result = std::move(result)] {
            Report(file, result);
          });
        });
  }
  if (!window_.Drain()) {
    exit_ = kExitInterrupted;
    client->reset();  // Answers everything.
    window_.RunReports();
  }
  const auto all = static_cast<int64_t>(files.size());
  if (exit_ == kExitInterrupted) {
    session_->Say(absl::StrCat("cairn: interrupted; ", deleted_, " of ",
                               Count(all, "file"), " deleted"));
  } else if (all > 1) {
    session_->Say(absl::StrCat("deleted ", Count(deleted_, "file")));
  }
  if (derived_deleted_ > 0) {
    session_->Say(
        absl::StrCat("deleted ", Count(derived_deleted_, "derived file")));
  }
  if (undelete_until_.has_value() && !session_->json()) {
    session_->Say(
        absl::StrCat("`cairn undelete` brings back what was deleted, "
                     "until ",
                     FormatUtc(*undelete_until_)));
  }
  return exit_;
}

void RmRun::Report(const ListedFile& file,
                   const absl::StatusOr<client::DeleteResult>& result) {
  Json json;
  json["file_id"] = file.file_id;
  if (file.entry.has_value()) json["path"] = file.entry->path;
  const bool missing =
      result.status().code() == absl::StatusCode::kNotFound &&
      (ReasonOf(result.status()) == ErrorReason::kFileNotFound ||
       ReasonOf(result.status()) == ErrorReason::kFileDeleted ||
       ReasonOf(result.status()) == ErrorReason::kFileExpired);
  if (!result.ok() && !(missing && flags_.ignore_missing)) {
    if (result.status().code() == absl::StatusCode::kCancelled) {
      exit_ = kExitInterrupted;
      return;
    }
    exit_ =
        Combine(exit_, session_->FailItem(result.status(), file.Name(), json));
    return;
  }
  if (!missing) ++deleted_;
  if (result.ok()) {
    derived_deleted_ += result->derived_deleted;
    const absl::optional<absl::Time> until = result->undelete_until;
    if (until.has_value() &&
        (!undelete_until_.has_value() || *until < *undelete_until_)) {
      undelete_until_ = until;
    }
  }
  if (!session_->json()) return;
  json["deleted"] = !missing;
  if (result.ok()) {
    json["level"] = LevelName(result->level);
    json["replicas"] = result->replicas;
    if (flags_.with_derived) json["derived_deleted"] = result->derived_deleted;
    if (result->undelete_until.has_value()) {
      json["undelete_until"] = FormatUtc(*result->undelete_until);
    }
  }
  session_->PrintJson(json);
}

}  // namespace

ExitCode RunRm(const RmFlags& flags, Session* session) {
  const absl::StatusOr<std::vector<ListedFile>> files =
      ListFiles(flags.file_ids, flags.manifest);
  if (!files.ok()) return session->Fail(files.status());
  const absl::StatusOr<client::Durability> durability =
      ParseDurability(flags.durability);
  if (!durability.ok()) return session->Fail(durability.status());
  if (session->flags().print_grpcurl) {
    for (const ListedFile& file : *files) {
      Json request;
      request["fileId"] = file.file_id;
      request["durability"] = DurabilityRequestJson(*durability);
      if (flags.with_derived) request["withDerived"] = true;
      if (flags.purge) request["purge"] = true;
      session->Write(NodeForFile(*session, file.file_id));
      session->Print(GrpcurlCall(
          *session, kNodeWord, "cairn.storage.v1.FileService/Delete", request));
    }
    return kExitOk;
  }
  client::DeleteOptions options;
  options.durability = *durability;
  options.timeout = session->timeout();
  options.with_derived = flags.with_derived;
  options.purge = flags.purge;
  return RmRun(flags, session).Run(*files, options);
}

}  // namespace cli
}  // namespace cairn
