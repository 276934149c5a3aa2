#include "clients/cli/catalog_access.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "clients/cli/cluster_nodes.h"
#include "clients/cli/interrupt.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"
#include "lib/config/cluster_secret.h"
#include "lib/io/file_system.h"
#include "lib/rpc/tls.h"

namespace cairn {
namespace cli {
namespace {

absl::Status UsageError(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

bool IsMeant(const tracker::v1::NodeIdentity& identity,
             const std::string& wanted) {
  return wanted.empty() || identity.node_uuid() == wanted ||
         identity.name() == wanted || identity.address() == wanted;
}

bool IsSyncing(const tracker::v1::Node& node) {
  for (const tracker::v1::StorePathReport& path : node.report().store_paths()) {
    if (path.syncing() || !path.readable()) return true;
  }
  return false;
}

// Less is better: who is there and has all comes first.
int RankOf(const tracker::v1::Node& node) {
  int rank = node.state() == tracker::v1::NODE_STATE_ACTIVE    ? 0
             : node.state() == tracker::v1::NODE_STATE_SUSPECT ? 2
                                                               : 4;
  if (IsSyncing(node)) ++rank;
  return rank;
}

}  // namespace

absl::StatusOr<std::vector<CatalogGroup>> FindCatalogs(
    const CatalogFlags& flags, Session* session) {
  const std::string secret_file =
      flags.secret_file.empty()
          ? session->environment().variable("CAIRN_SECRET_FILE")
          : flags.secret_file;
  if (secret_file.empty()) {
    return UsageError(
        "a list of file IDs is one of credentials: name the file that holds "
        "the cluster secret with --secret-file or CAIRN_SECRET_FILE");
  }
  CAIRN_ASSIGN_OR_RETURN(
      const std::string secret,
      ReadClusterSecret("", secret_file, FileSystem::Real()));
  CAIRN_ASSIGN_OR_RETURN(const tracker::v1::ListNodesResponse nodes,
                         FindNodes(session, flags.group));
  std::shared_ptr<const rpc::Tls> tls;
  if (!session->tls().ca_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(tls, rpc::Tls::Open(session->tls()));
  }
  std::map<std::string, std::vector<tracker::v1::Node>> groups;
  for (const tracker::v1::Node& node : nodes.nodes()) {
    if (!IsMeant(node.identity(), flags.node)) continue;
    groups[node.identity().group()].push_back(node);
  }
  if (groups.empty()) {
    if (!flags.node.empty()) {
      return ErrorWithReason(
          absl::StatusCode::kNotFound, ErrorReason::kUnknownNode,
          absl::StrCat("no node has the name, UUID or address `", flags.node,
                       "`"));
    }
    if (!flags.group.empty()) {
      return ErrorWithReason(absl::StatusCode::kNotFound,
                             ErrorReason::kUnknownGroup,
                             absl::StrCat("no group is called ", flags.group));
    }
    return absl::UnavailableError("the cluster has no storage nodes");
  }
  std::vector<CatalogGroup> catalogs;
  for (auto& [name, members] : groups) {
    std::stable_sort(
        members.begin(), members.end(),
        [](const tracker::v1::Node& a, const tracker::v1::Node& b) {
          return RankOf(a) < RankOf(b);
        });
    CatalogGroup group;
    group.name = name;
    group.options.cluster_secret = secret;
    group.options.tls = tls;
    for (const tracker::v1::Node& node : members) {
      group.options.members.push_back(node.identity().address());
    }
    CAIRN_ASSIGN_OR_RETURN(
        const Uuid cluster_id,
        Uuid::Parse(members.front().identity().cluster_id()));
    group.options.cluster_id = cluster_id.ToString();
    catalogs.push_back(std::move(group));
  }
  return catalogs;
}

CancelOnInterrupt::CancelOnInterrupt(const Interrupt* interrupt,
                                     std::vector<client::Catalog*> catalogs)
    : thread_([this, interrupt, catalogs = std::move(catalogs)] {
        MutexLock lock(&mu_);
        while (!ended_) {
          if (interrupt->raised()) {
            for (client::Catalog* const catalog : catalogs) catalog->Cancel();
            return;
          }
          ended_changed_.WaitWithTimeout(
              &mu_, absl::Milliseconds(kInterruptPollMillis));
        }
      }) {}

CancelOnInterrupt::~CancelOnInterrupt() {
  {
    MutexLock lock(&mu_);
    ended_ = true;
    ended_changed_.Signal();
  }
  thread_.join();
}

}  // namespace cli
}  // namespace cairn
