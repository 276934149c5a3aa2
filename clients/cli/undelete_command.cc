// cairn undelete: brings deleted files back.

#include <string>

#include "clients/cli/commands.h"
#include "clients/cli/described_files.h"

namespace cairn {
namespace cli {

ExitCode RunUndelete(const UndeleteFlags& flags, Session* session) {
  const auto options =
      OptionsForFiles<client::UndeleteOptions>(flags, *session);
  if (!options.ok()) return session->Fail(options.status());
  if (session->flags().print_grpcurl) {
    PrintGrpcurlForFiles(
        flags.file_ids, "cairn.storage.v1.FileService/Undelete",
        options->request_id, options->durability, [](Json* /*request*/) {},
        session);
    return kExitOk;
  }
  return ChangeFiles(
      flags.file_ids,
      [&options](client::Client* client, const std::string& id) {
        return client->Undelete(id, *options);
      },
      [](const client::UndeleteResult& result, Json* json) {
        (*json)["size_bytes"] = result.info.size_bytes;
      },
      session);
}

}  // namespace cli
}  // namespace cairn
