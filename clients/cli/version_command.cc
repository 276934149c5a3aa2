// cairn version: what this program is.

#include "absl/strings/str_cat.h"
#include "clients/cli/commands.h"
#include "clients/cli/grpcurl.h"
#include "lib/process/version.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {

ExitCode RunVersion(Session* session) {
  if (session->flags().print_grpcurl) {
    session->Print("# version asks no server; each node's is in:");
    session->Print(
        absl::StrCat("grpcurl ", TransportFlags(*session),
                     " HOST:PORT cairn.storage.v1.NodeService/GetState"));
    return kExitOk;
  }
  if (session->json()) {
    Json json;
    json["version"] = kVersion;
    session->PrintJson(json);
  } else {
    session->Print(absl::StrCat("cairn ", kVersion));
  }
  return kExitOk;
}

}  // namespace cli
}  // namespace cairn
