#include "clients/cli/described_files.h"

#include <memory>

#include "clients/cli/format.h"
#include "clients/cli/grpcurl.h"
#include "clients/cli/result_json.h"

namespace cairn {
namespace cli {

void PrintGrpcurlForFiles(const std::vector<std::string>& file_ids,
                          absl::string_view method, const Uuid& request_id,
                          const client::Durability& durability,
                          absl::FunctionRef<void(Json*)> fill,
                          Session* session) {
  for (const std::string& id : file_ids) {
    Json request;
    request["requestId"] =
        (request_id.is_nil() ? Uuid::Random() : request_id).ToString();
    request["fileId"] = id;
    request["durability"] = DurabilityRequestJson(durability);
    fill(&request);
    session->Write(NodeForFile(*session, id));
    session->Print(GrpcurlCall(*session, kNodeWord, method, request));
  }
}

ExitCode ChangeFiles(
    const std::vector<std::string>& file_ids,
    absl::FunctionRef<absl::StatusOr<client::PutResult>(client::Client*,
                                                        const std::string&)>
        change,
    absl::FunctionRef<void(const client::PutResult&, Json*)> add,
    Session* session) {
  const absl::StatusOr<std::unique_ptr<client::Client>> client =
      session->Connect(1, Session::Patience::kPrompt);
  if (!client.ok()) return session->Fail(client.status());
  ExitCode exit = kExitOk;
  for (const std::string& id : file_ids) {
    const absl::StatusOr<client::PutResult> result = change(client->get(), id);
    Json json;
    json["file_id"] = id;
    if (!result.ok()) {
      exit = Combine(exit, session->FailItem(result.status(), id, json));
      continue;
    }
    if (!session->json()) continue;
    add(*result, &json);
    json["version"] = VersionText(result->info);
    if (result->info.expire_time) {
      json["expire_time"] = FormatUtc(*result->info.expire_time);
    }
    AddReached(*result, &json);
    session->PrintJson(json);
  }
  return exit;
}

}  // namespace cli
}  // namespace cairn
