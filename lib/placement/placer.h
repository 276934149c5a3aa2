// Where an upload goes and where a file is read, decided alike by trackers,
// storages and clients.
//
//   group ──▶ node ──▶ store path        each by its policy, among those that
//                                        can take the file
//
// Who can take an upload: a node that is ACTIVE (SUSPECT only if no ACTIVE node
// anywhere can), READ_WRITE, not stopping and not excluded by the caller, with
// a store path that is writable and has room above its reserve. One that is
// syncing (new, rebuilt or back after long, and not caught up) is chosen only
// if its group has no other that can.
//
// "In turn" means: the one that was chosen longest ago. So two that can both
// take uploads never differ by more than one, whatever joins, leaves or is
// asked for meanwhile.

#ifndef CAIRN_LIB_PLACEMENT_PLACER_H_
#define CAIRN_LIB_PLACEMENT_PLACER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"

namespace cairn {

// What is to be placed. What it refers to is borrowed for the call.
struct UploadQuery {
  // Empty lets the policy choose.
  absl::string_view group;

  // If it is known: places with less room are left out.
  absl::optional<int64_t> size_bytes;

  // Of the caller. May be empty.
  absl::string_view zone;

  // UUIDs of nodes that failed the caller before.
  absl::Span<const std::string> excluded_nodes;
};

// Valid as long as the model that it was chosen from.
struct UploadPlace {
  const NodeModel* node = nullptr;
  uint32_t store_path = 0;
};

// What is to be read.
struct ReadQuery {
  absl::string_view group;

  // From the file's ID: the node that took the upload, and its store path.
  uint32_t origin_node = 0;
  absl::optional<uint32_t> store_path;

  // Of the caller. May be empty.
  absl::string_view zone;
};

// Remembers whose turn it is and draws lots. It may be given a new model with
// every call. Thread-safe. The same calls after the same seed give the same
// answers.
class Placer {
 public:
  // Give each process a seed of its own, or all of them start with the same
  // node.
  explicit Placer(uint64_t seed);

  // Chooses where an upload goes.
  //   NOT_FOUND           UNKNOWN_GROUP: the query's, or the policy's fixed
  //   one. RESOURCE_EXHAUSTED  NO_WRITABLE_NODE: those that are there are full.
  //   UNAVAILABLE         NO_WRITABLE_NODE: none is there that takes uploads.
  // The message counts what was passed over and why.
  absl::StatusOr<UploadPlace> PlaceUpload(const ClusterModel& model,
                                          const UploadQuery& query)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The members that can serve a file, best first; at least one. OFFLINE and
  // STANDBY ones are left out. The policy orders those that are ACTIVE and have
  // caught up; behind them come those whose store path is syncing (any path, if
  // the query names none), those whose store path cannot be read, and last
  // those that are SUSPECT or stopping.
  //   NOT_FOUND    UNKNOWN_GROUP.
  //   UNAVAILABLE  NO_READABLE_NODE.
  absl::StatusOr<std::vector<const NodeModel*>> ReadOrder(
      const ClusterModel& model, const ReadQuery& query)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // When something was chosen last; 0 is never.
  using Turns = absl::flat_hash_map<std::string, uint64_t>;

  struct NodeTurns {
    uint64_t node = 0;
    std::vector<uint64_t> store_paths;  // As in NodeModel::store_paths.
  };

  const GroupModel* ChooseGroup(const ClusterModel& model,
                                std::vector<const GroupModel*> groups)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const NodeModel* ChooseNode(const ClusterModel& model,
                              const UploadQuery& query,
                              std::vector<const NodeModel*> nodes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t ChoosePath(const ClusterModel& model, const UploadQuery& query,
                      bool settled, const NodeModel& node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const NodeModel* NextNode(const std::vector<const NodeModel*>& nodes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Uniform in [0, limit); `limit` at least 1.
  uint64_t Draw(uint64_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t seed_;

  Mutex mu_;
  uint64_t random_state_ ABSL_GUARDED_BY(mu_);
  uint64_t now_ ABSL_GUARDED_BY(mu_) = 0;  // Counts uploads.

  // Grow with every node that was ever seen: a few hundred bytes for each.
  Turns group_turns_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, NodeTurns> node_turns_ ABSL_GUARDED_BY(mu_);
};

// Whether an upload of unknown size could go to `node`, or to `group`, now.
bool NodeTakesUploads(const NodeModel& node);
bool GroupTakesUploads(const ClusterModel& model, const GroupModel& group);

}  // namespace cairn

#endif  // CAIRN_LIB_PLACEMENT_PLACER_H_
