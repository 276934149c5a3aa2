// cairn watch: what becomes of files, as it happens.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/catalog_access.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/group_tokens.h"
#include "clients/cli/result_json.h"
#include "clients/cpp/catalog.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

const char* KindWord(client::FileEvent::Kind kind) {
  switch (kind) {
    case client::FileEvent::Kind::kCreated:
      return "created";
    case client::FileEvent::Kind::kChanged:
      return "changed";
    case client::FileEvent::Kind::kDeleted:
      return "deleted";
  }
  return "unknown";
}

// One thread for each group; what they bring is printed under one lock.
class WatchRun {
 public:
  WatchRun(const WatchFlags& flags, GroupTokens tokens, Session* session)
      : flags_(flags), session_(session), tokens_(std::move(tokens)) {}

  ExitCode Run(const std::vector<CatalogGroup>& groups) {
    std::vector<std::unique_ptr<client::Catalog>> catalogs;
    for (const CatalogGroup& group : groups) {
      client::CatalogOptions options = group.options;
      // Who watches wants to go on when the cluster is back.
      if (!flags_.until_now) options.patience = absl::InfiniteDuration();
      options.on_failure = [this](const std::string& member,
                                  const absl::Status& status) {
        MutexLock lock(&mu_);
        session_->Say(absl::StrCat("cairn: ", member, ": ", status.message(),
                                   "; goes on at the next member"));
      };
      catalogs.push_back(std::make_unique<client::Catalog>(std::move(options)));
      MutexLock lock(&mu_);
      catalogs_.push_back(catalogs.back().get());
    }
    {
      const CancelOnInterrupt cancel(session_->environment().interrupt,
                                     Catalogs());
      std::vector<std::thread> threads;
      for (size_t i = 0; i < groups.size(); ++i) {
        threads.emplace_back(
            [this, &group = groups[i], catalog = catalogs[i].get()] {
              Watch(group.name, catalog);
            });
      }
      for (std::thread& thread : threads) thread.join();
    }
    MutexLock lock(&mu_);
    const std::string token = FormatGroupTokens(tokens_);
    if (!token.empty() && !session_->json()) {
      session_->Say(absl::StrCat("cairn: go on with --from ", token));
    }
    if (session_->environment().interrupt->raised()) return kExitInterrupted;
    if (!failure_.ok()) return session_->Fail(failure_, failed_group_);
    return kExitOk;
  }

 private:
  std::vector<client::Catalog*> Catalogs() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return catalogs_;
  }

  void Watch(const std::string& group, client::Catalog* catalog) {
    client::WatchQuery query;
    {
      MutexLock lock(&mu_);
      query.resume_token = tokens_[group];
    }
    if (flags_.store_path >= 0) {
      query.store_path = static_cast<uint32_t>(flags_.store_path);
    }
    query.include_attributes = flags_.with_attributes;
    query.until_now = flags_.until_now;
    const absl::Status status =
        catalog->Watch(query, [this, &group](const client::WatchBatch& batch) {
          return Take(group, batch);
        });
    if (status.ok()) return;
    MutexLock lock(&mu_);
    if (!failure_.ok() || absl::IsCancelled(status)) return;
    failure_ = status;
    failed_group_ = group;
    // Part of the cluster is no answer.
    for (client::Catalog* const other : catalogs_) other->Cancel();
  }

  bool Take(const std::string& group, const client::WatchBatch& batch)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const bool is_new = tokens_[group] != batch.resume_token;
    for (const client::FileEvent& event : batch.events) {
      if (session_->json()) {
        Json json;
        json["event"] = KindWord(event.kind);
        AddFileInfo(event.file, &json);
        if (flags_.with_attributes) {
          AddAttributes(event.file.attributes, &json);
        }
        session_->PrintJson(json);
        continue;
      }
      session_->Print(
          absl::StrCat(KindWord(event.kind), "  ", event.file.file_id));
      if (!flags_.with_attributes) continue;
      for (const auto& [key, value] : event.file.attributes) {
        session_->Print(absl::StrCat("    ", AttributeText(key, value)));
      }
    }
    tokens_[group] = batch.resume_token;
    // Behind the events: who reads up to here has them.
    if (session_->json() && is_new) {
      Json json;
      json["resume_token"] = FormatGroupTokens(tokens_);
      session_->PrintJson(json);
    }
    const absl::Status written = session_->Flush();
    if (!written.ok() && failure_.ok()) failure_ = written;
    return written.ok() && !session_->environment().interrupt->raised();
  }

  const WatchFlags& flags_;
  Session* const session_;

  Mutex mu_;  // Held while something is printed.
  std::vector<client::Catalog*> catalogs_ ABSL_GUARDED_BY(mu_);
  GroupTokens tokens_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  std::string failed_group_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

ExitCode RunWatch(const WatchFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(ErrorWithReason(
        absl::StatusCode::kInvalidArgument, ErrorReason::kInvalidField,
        "--print-grpcurl: each call carries a proof that grpcurl cannot make"));
  }
  absl::StatusOr<GroupTokens> tokens = ParseGroupTokens(flags.from);
  if (!tokens.ok()) return session->Fail(tokens.status());
  const absl::StatusOr<std::vector<CatalogGroup>> groups =
      FindCatalogs(flags.catalog, session);
  if (!groups.ok()) return session->Fail(groups.status());
  return WatchRun(flags, *std::move(tokens), session).Run(*groups);
}

}  // namespace cli
}  // namespace cairn
