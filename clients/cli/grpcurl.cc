#include "clients/cli/grpcurl.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/rpc/tls_files.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

// Asks a tracker and takes one address out of its answer.
std::string NodeByTracker(const Session& session, absl::string_view method,
                          const Json& request, absl::string_view path) {
  return absl::StrCat(
      "NODE=$(", GrpcurlCall(session, AddressWord(session), method, request),
      " | jq -r '", path, "')\n");
}

}  // namespace

std::string ShellQuote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string TransportFlags(const Session& session) {
  const rpc::TlsOptions tls = session.tls();
  if (tls.ca_file.empty()) return "-plaintext";
  std::string flags = absl::StrCat("-cacert ", ShellQuote(tls.ca_file));
  if (!tls.certificate_file.empty()) {
    absl::StrAppend(&flags, " -cert ", ShellQuote(tls.certificate_file),
                    " -key ", ShellQuote(tls.key_file));
  }
  if (!tls.server_name.empty()) {
    absl::StrAppend(&flags, " -servername ", ShellQuote(tls.server_name));
  }
  return flags;
}

std::string GrpcurlCall(const Session& session, absl::string_view address,
                        absl::string_view method, const Json& request) {
  return absl::StrCat(
      "grpcurl ", TransportFlags(session), " -d ",
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

std::string NodeOfUpload(const Session& session, absl::string_view upload_id) {
  uint32_t number = 0;
  if (session.first_tracker().empty() ||
      !absl::SimpleHexAtoi(upload_id.substr(0, 8), &number)) {
    return absl::StrCat("NODE=", AddressWord(session), "\n");
  }
  return NodeByTracker(
      session, "cairn.tracker.v1.TrackerService/ListNodes", Json::object(),
      absl::StrCat(".nodes[].identity | select(.nodeNumber == ", number,
                   ") | .address"));
}

std::string AddressWord(const Session& session) {
  const std::string& address = session.first_tracker().empty()
                                   ? session.flags().storage
                                   : session.first_tracker();
  return address.empty() ? "127.0.0.1:7700" : ShellQuote(address);
}

}  // namespace cli
}  // namespace cairn
