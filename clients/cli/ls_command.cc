// cairn ls: which files there are.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/catalog_access.h"
#include "clients/cli/commands.h"
#include "clients/cli/format.h"
#include "clients/cli/moment.h"
#include "clients/cli/result_json.h"
#include "clients/cpp/catalog.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::StatusOr<client::ListQuery> QueryOf(const LsFlags& flags,
                                          absl::Time now) {
  client::ListQuery query;
  if (flags.store_path >= 0) {
    query.store_path = static_cast<uint32_t>(flags.store_path);
  }
  query.prefix = flags.prefix;
  if (!flags.since.empty()) {
    CAIRN_ASSIGN_OR_RETURN(query.created_from, ParseMoment(flags.since, now));
  }
  if (!flags.before.empty()) {
    CAIRN_ASSIGN_OR_RETURN(query.created_before,
                           ParseMoment(flags.before, now));
  }
  if (flags.kind == "normal") query.kind = client::FileKind::kNormal;
  if (flags.kind == "appender") query.kind = client::FileKind::kAppender;
  if (flags.kind == "derived") query.kind = client::FileKind::kDerived;
  for (const std::string& wanted : flags.attributes) {
    const size_t equals = wanted.find('=');
    const std::string key = wanted.substr(0, equals);
    CAIRN_RETURN_IF_ERROR(CheckAttributeKey(key));
    const std::string value =
        equals == std::string::npos ? "" : wanted.substr(equals + 1);
    if (!query.attributes.emplace(key, value).second) {
      return UsageError(absl::StrCat("--attribute ", key, " comes twice"));
    }
  }
  query.include_attributes = flags.with_attributes;
  return query;
}

std::string LongLine(const client::FileInfo& file) {
  return absl::StrFormat("%s  %-8s  %15d  %s  %s\n",
                         FormatUtc(file.create_time), KindName(file.kind),
                         file.size_bytes, FormatCrc(file.crc32c), file.file_id);
}

class LsRun {
 public:
  LsRun(const LsFlags& flags, Session* session)
      : flags_(flags), session_(session) {}

  ExitCode Run(client::ListQuery query,
               const std::vector<CatalogGroup>& groups) {
    for (const CatalogGroup& group : groups) {
      client::CatalogOptions options = group.options;
      options.on_failure = [this](const std::string& member,
                                  const absl::Status& status) {
        session_->Say(absl::StrCat("cairn: ", member, ": ", status.message(),
                                   "; goes on at the next member"));
      };
      client::Catalog catalog(std::move(options));
      const CancelOnInterrupt cancel(session_->environment().interrupt,
                                     {&catalog});
      query.limit = flags_.limit == 0 ? 0 : flags_.limit - files_;
      const absl::Status status = catalog.List(
          query, [this](const client::ListPage& page) { return Take(page); });
      if (session_->environment().interrupt->raised()) {
        session_->Say(absl::StrCat("cairn: interrupted after ",
                                   Count(FileCount(), "file")));
        return kExitInterrupted;
      }
      if (!status.ok()) return session_->Fail(status, group.name);
      if (!written_.ok()) return session_->Fail(written_);
      if (flags_.limit > 0 && files_ >= flags_.limit) break;
    }
    session_->Say(absl::StrCat(Count(FileCount(), "file")));
    return kExitOk;
  }

 private:
  int64_t FileCount() const { return static_cast<int64_t>(files_); }

  bool Take(const client::ListPage& page) {
    files_ += page.files.size();
    if (session_->json()) {
      for (const client::FileInfo& file : page.files) {
        Json json;
        AddFileInfo(file, &json);
        if (flags_.with_attributes) AddAttributes(file.attributes, &json);
        session_->PrintJson(json);
      }
    } else {
      std::string lines;
      for (const client::FileInfo& file : page.files) {
        if (flags_.long_form) {
          lines += LongLine(file);
        } else {
          absl::StrAppend(&lines, file.file_id, "\n");
        }
        if (!flags_.with_attributes) continue;
        for (const auto& [key, value] : file.attributes) {
          absl::StrAppend(&lines, "    ", AttributeText(key, value), "\n");
        }
      }
      session_->Write(lines);
    }
    written_ = session_->Flush();
    return written_.ok() && !session_->environment().interrupt->raised();
  }

  const LsFlags& flags_;
  Session* const session_;
  uint64_t files_ = 0;
  absl::Status written_;
};

}  // namespace

ExitCode RunLs(const LsFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(UsageError(
        "--print-grpcurl: each call carries a proof that grpcurl cannot make"));
  }
  absl::StatusOr<client::ListQuery> query =
      QueryOf(flags, session->environment().clock->Now());
  if (!query.ok()) return session->Fail(query.status());
  const absl::StatusOr<std::vector<CatalogGroup>> groups =
      FindCatalogs(flags.catalog, session);
  if (!groups.ok()) return session->Fail(groups.status());
  return LsRun(flags, session).Run(*std::move(query), *groups);
}

}  // namespace cli
}  // namespace cairn
