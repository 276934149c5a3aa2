#include "clients/cli/grpcurl.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// Asks a tracker and takes one address out of its answer.
std::string NodeByTracker(const Session& session, absl::string_view method,
                          const Json& request, absl::string_view path) {
  return absl::StrCat("NODE=$(",
                      GrpcurlCall(AddressWord(session), method, request),
                      " | jq -r '", path, "')\n");
}

}  // namespace

std::string ShellQuote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string GrpcurlCall(absl::string_view address, absl::string_view method,
                        const Json& request) {
  return absl::StrCat(
      "grpcurl -plaintext -d ",
      ShellQuote(request.dump(-1, ' ', false, Json::error_handler_t::replace)),
      " ", address, " ", method);
}

std::string NodeForFile(const Session& session, absl::string_view file_id) {
  if (session.first_tracker().empty()) {
    return absl::StrCat("NODE=", AddressWord(session), "\n");
  }
  Json request = Json::object();
  request["fileId"] = std::string(file_id);
  if (!session.flags().zone.empty()) request["zone"] = session.flags().zone;
  return NodeByTracker(session, "cairn.tracker.v1.TrackerService/Locate",
                       request, ".nodes[0].identity.address");
}

std::string NodeForUpload(const Session& session, absl::string_view group) {
  if (session.first_tracker().empty()) {
    return absl::StrCat("NODE=", AddressWord(session), "\n");
  }
  Json request = Json::object();
  if (!group.empty()) request["group"] = std::string(group);
  if (!session.flags().zone.empty()) request["zone"] = session.flags().zone;
  return NodeByTracker(session, "cairn.tracker.v1.TrackerService/PlaceUpload",
                       request, ".node.identity.address");
}

std::string AddressWord(const Session& session) {
  const std::string& address = session.first_tracker().empty()
                                   ? session.flags().storage
                                   : session.first_tracker();
  return address.empty() ? "127.0.0.1:7700" : ShellQuote(address);
}

}  // namespace cli
}  // namespace cairn
