// cairn append, modify, truncate, seal and put --appender: files whose content
// changes.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "clients/cli/attribute_text.h"
#include "clients/cli/commands.h"
#include "clients/cli/durability.h"
#include "clients/cli/lifetime_text.h"
#include "clients/cli/local_files.h"
#include "clients/cli/result_json.h"
#include "clients/cli/stdin_reader.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/io/file_system.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

enum class UpdateKind { kAppend, kModify, kTruncate, kSeal };

constexpr auto kPieceBytes =
    static_cast<size_t>(client::Client::kUpdateBytesMax);

absl::Status Usage(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

// The bytes that a command is to write, a piece at a time.
class Input {
 public:
  static absl::StatusOr<std::unique_ptr<Input>> Open(const std::string& path,
                                                     const Session& session) {
    auto input = std::make_unique<Input>();
    if (path.empty() || path == "-") {
      input->stdin_ = std::make_unique<StdinReader>(
          fileno(session.environment().in), session.environment().interrupt);
      return input;
    }
    CAIRN_ASSIGN_OR_RETURN(input->file_,
                           FileSystem::Real()->Open(path, OpenMode::kRead));
    return input;
  }

  // kPieceBytes, or fewer at the end and only there.
  absl::StatusOr<std::string> Next() {
    std::string piece(kPieceBytes, '\0');
    size_t size = 0;
    while (size < piece.size()) {
      size_t got = 0;
      if (stdin_ != nullptr) {
        CAIRN_ASSIGN_OR_RETURN(
            got, stdin_->Read(piece.data() + size, piece.size() - size));
      } else {
        CAIRN_ASSIGN_OR_RETURN(
            got, file_->ReadAt(at_, piece.data() + size, piece.size() - size));
      }
      if (got == 0) break;
      at_ += static_cast<int64_t>(got);
      size += got;
    }
    piece.resize(size);
    return piece;
  }

 private:
  std::unique_ptr<StdinReader> stdin_;
  std::unique_ptr<File> file_;
  int64_t at_ = 0;
};

absl::StatusOr<client::UpdateOptions> OptionsOf(const UpdateFlags& flags,
                                                const Session& session) {
  client::UpdateOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.timeout = session.timeout();
  if (flags.if_size >= 0) options.if_size_bytes = flags.if_size;
  if (!flags.if_version.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.if_version_match,
                           ParseVersion(flags.if_version));
  }
  if (!flags.request_id.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  return options;
}

void Report(UpdateKind kind, const UpdateFlags& flags,
            const client::UpdateResult& result, Session* session) {
  const bool sealed = kind == UpdateKind::kSeal;
  if (!session->json()) {
    session->Print(sealed ? result.info.file_id
                          : absl::StrCat(result.info.size_bytes));
    return;
  }
  Json json;
  AddFileInfo(result.info, &json);
  if (sealed) json["sealed_from"] = flags.file_id;
  AddReached(result, &json);
  session->PrintJson(json);
}

// Appends the rest of `input` behind `first`, each piece only if nothing came
// between.
absl::StatusOr<client::UpdateResult> AppendRest(client::Client* client,
                                                client::UpdateOptions options,
                                                Input* input,
                                                client::UpdateResult first) {
  options.request_id = Uuid();
  options.if_version_match.reset();
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const std::string piece, input->Next());
    if (piece.empty()) return first;
    options.if_size_bytes = first.info.size_bytes;
    CAIRN_ASSIGN_OR_RETURN(first,
                           client->Append(first.info.file_id, piece, options));
    if (piece.size() < kPieceBytes) return first;
  }
}

absl::StatusOr<client::UpdateResult> Change(UpdateKind kind,
                                            const UpdateFlags& flags,
                                            Session* session) {
  CAIRN_ASSIGN_OR_RETURN(client::UpdateOptions options,
                         OptionsOf(flags, *session));
  std::unique_ptr<Input> input;
  std::string first;
  if (kind != UpdateKind::kTruncate && kind != UpdateKind::kSeal) {
    CAIRN_ASSIGN_OR_RETURN(input, Input::Open(flags.path, *session));
    CAIRN_ASSIGN_OR_RETURN(first, input->Next());
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                         session->Connect(1, Session::Patience::kPrompt));
  if (kind == UpdateKind::kSeal) return client->Seal(flags.file_id, options);
  if (kind == UpdateKind::kTruncate) {
    return client->Truncate(flags.file_id, flags.offset, options);
  }
  const bool is_all = first.size() < kPieceBytes;
  if (kind == UpdateKind::kModify) {
    if (!is_all) {
      CAIRN_ASSIGN_OR_RETURN(const std::string more, input->Next());
      if (!more.empty()) {
        return Usage(
            "modify takes 1 MiB at once, so that readers see all of "
            "it or nothing");
      }
    }
    return client->Modify(flags.file_id, flags.offset, first, options);
  }
  CAIRN_ASSIGN_OR_RETURN(client::UpdateResult result,
                         client->Append(flags.file_id, first, options));
  if (is_all) return result;
  return AppendRest(client.get(), options, input.get(), std::move(result));
}

ExitCode Run(UpdateKind kind, const UpdateFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    return session->Fail(
        Usage("--print-grpcurl is not made for changes of "
              "appenders: contents go in them"));
  }
  const absl::StatusOr<client::UpdateResult> result =
      Change(kind, flags, session);
  if (!result.ok()) {
    Json json;
    json["file_id"] = flags.file_id;
    return session->FailItem(result.status(), flags.file_id, json);
  }
  Report(kind, flags, *result, session);
  return kExitOk;
}

absl::StatusOr<client::PutResult> Create(const PutFlags& flags,
                                         Session* session) {
  if (flags.paths.size() != 1 || flags.recursive || !flags.manifest.empty()) {
    return Usage("--appender goes with one file, or with `-`");
  }
  if (flags.resume || !flags.journal.empty() || flags.streams > 1) {
    return Usage("--appender does not go with --resume");
  }
  if (!flags.derived_from.empty() || !flags.prefix.empty()) {
    return Usage("--appender does not go with --derived-from");
  }
  if (flags.dedup || flags.no_dedup) {
    return Usage(
        "--appender does not go with --dedup: the content of an appender "
        "changes");
  }
  if (session->flags().print_grpcurl) {
    return Usage("--print-grpcurl is not made for --appender");
  }
  const std::string& path = flags.paths[0];
  client::PutOptions options;
  CAIRN_ASSIGN_OR_RETURN(options.durability, ParseDurability(flags.durability));
  options.group = flags.group;
  options.timeout = session->timeout();
  if (flags.store_path >= 0) {
    options.store_path = static_cast<uint32_t>(flags.store_path);
  }
  options.extension = flags.has_extension ? flags.extension
                      : path == "-"       ? ""
                                          : ExtensionOf(path);
  CAIRN_ASSIGN_OR_RETURN(options.attributes, ParseAttributes(flags.attributes));
  CAIRN_ASSIGN_OR_RETURN(options.lifetime,
                         LifetimeOf(flags.expire_in, flags.expire_at));
  if (flags.describe) {
    DescribeFile(path == "-" ? "" : BaseName(path), options.extension,
                 &options.attributes);
  }
  if (!flags.request_id.empty()) {
    CAIRN_ASSIGN_OR_RETURN(options.request_id, Uuid::Parse(flags.request_id));
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Input> input,
                         Input::Open(path, *session));
  CAIRN_ASSIGN_OR_RETURN(const std::string first, input->Next());
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                         session->Connect(1, Session::Patience::kPatient));
  CAIRN_ASSIGN_OR_RETURN(client::PutResult created,
                         client->CreateAppender(first, options));
  if (created.replayed || first.size() < kPieceBytes) return created;
  client::UpdateOptions rest;
  rest.durability = options.durability;
  rest.timeout = options.timeout;
  const std::string file_id = created.info.file_id;
  absl::StatusOr<client::PutResult> whole =
      AppendRest(client.get(), rest, input.get(), std::move(created));
  // Nobody has its ID.
  if (!whole.ok()) client->Delete(file_id).IgnoreError();
  return whole;
}

}  // namespace

ExitCode RunPutAppender(const PutFlags& flags, Session* session) {
  const absl::StatusOr<client::PutResult> result = Create(flags, session);
  const std::string path = flags.paths.empty() ? "" : flags.paths[0];
  Json json;
  json["path"] = path;
  if (!result.ok()) return session->FailItem(result.status(), path, json);
  if (!session->json()) {
    session->Print(result->info.file_id);
    return kExitOk;
  }
  AddFileInfo(result->info, &json);
  AddReached(*result, &json);
  session->PrintJson(json);
  return kExitOk;
}

ExitCode RunAppend(const UpdateFlags& flags, Session* session) {
  return Run(UpdateKind::kAppend, flags, session);
}
ExitCode RunModify(const UpdateFlags& flags, Session* session) {
  return Run(UpdateKind::kModify, flags, session);
}
ExitCode RunSeal(const UpdateFlags& flags, Session* session) {
  return Run(UpdateKind::kSeal, flags, session);
}
ExitCode RunTruncate(const UpdateFlags& flags, Session* session) {
  return Run(UpdateKind::kTruncate, flags, session);
}

}  // namespace cli
}  // namespace cairn
