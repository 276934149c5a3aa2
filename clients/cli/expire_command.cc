// cairn expire: when files expire.

#include <string>

#include "clients/cli/commands.h"
#include "clients/cli/described_files.h"
#include "clients/cli/lifetime_text.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

absl::StatusOr<client::Lifetime> EndOf(const ExpireFlags& flags) {
  if (flags.in.empty() + flags.at.empty() + !flags.never != 2) {
    return UsageError("say one of --in, --at and --never");
  }
  return LifetimeOf(flags.in, flags.at);
}

}  // namespace

ExitCode RunExpire(const ExpireFlags& flags, Session* session) {
  const absl::StatusOr<client::Lifetime> lifetime = EndOf(flags);
  if (!lifetime.ok()) return session->Fail(lifetime.status());
  const auto options =
      OptionsForFiles<client::SetExpiryOptions>(flags, *session);
  if (!options.ok()) return session->Fail(options.status());
  if (session->flags().print_grpcurl) {
    PrintGrpcurlForFiles(
        flags.file_ids, "cairn.storage.v1.FileService/SetExpiry",
        options->request_id, options->durability,
        [&lifetime](Json* request) { AddLifetimeRequest(*lifetime, request); },
        session);
    return kExitOk;
  }
  return ChangeFiles(
      flags.file_ids,
      [&](client::Client* client, const std::string& id) {
        return client->SetExpiry(id, *lifetime, *options);
      },
      [](const client::SetExpiryResult& /*result*/, Json* /*json*/) {},
      session);
}

}  // namespace cli
}  // namespace cairn
