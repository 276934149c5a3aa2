// cairn derived: lists what is derived from a file.

#include <memory>
#include <utility>

#include "clients/cli/commands.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

ExitCode RunDerived(const DerivedFlags& flags, Session* session) {
  if (session->flags().print_grpcurl) {
    Json request;
    request["fileId"] = flags.file_id;
    session->Write(NodeForFile(*session, flags.file_id));
    session->Print(GrpcurlCall(*session, kNodeWord,
                               "cairn.storage.v1.FileService/ListDerived",
                               request));
    return kExitOk;
  }
  absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  client::ListDerivedOptions options;
  options.timeout = session->timeout();
  do {
    absl::StatusOr<client::ListDerivedResult> page =
        (*client)->ListDerived(flags.file_id, options);
    if (!page.ok()) {
      Json json;
      json["file_id"] = flags.file_id;
      return session->FailItem(page.status(), flags.file_id, json);
    }
    for (const client::FileInfo& info : page->files) {
      if (session->json()) {
        Json json;
        AddFileInfo(info, &json);
        session->PrintJson(json);
      } else {
        session->Print(info.file_id);
      }
    }
    options.page_token = std::move(page->next_page_token);
  } while (!options.page_token.empty());
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
