// Which node to ask: lib/placement over the newest view of the cluster, less
// the nodes that failed just now.

#ifndef CAIRN_CLIENTS_CPP_ROUTER_H_
#define CAIRN_CLIENTS_CPP_ROUTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "clients/cpp/node.h"
#include "clients/cpp/retry.h"
#include "lib/base/mutex.h"
#include "lib/placement/cluster_model.h"
#include "lib/placement/placer.h"

namespace cairn {
namespace client {

// What a change failed with that only one node makes: a connection to it that
// cannot be made, or broke, says that it is down.
absl::Status OriginFailed(const absl::Status& status);

// Thread-safe.
class Router {
 public:
  using MakeNode = std::function<std::shared_ptr<Node>(
      absl::string_view uuid, absl::string_view address)>;

  Router(absl::string_view zone, MakeNode make_node);

  // The one node of a client without trackers: everything goes there.
  void UseOnly(absl::string_view address) ABSL_LOCKS_EXCLUDED(mu_);

  // A new view. Nodes that are gone from it, or have another address, are shut
  // down; what they had open fails with UNAVAILABLE and so goes elsewhere.
  // Blocks until that is done.
  void Update(std::shared_ptr<const ClusterModel> model)
      ABSL_LOCKS_EXCLUDED(mu_);

  std::shared_ptr<const ClusterModel> model() const ABSL_LOCKS_EXCLUDED(mu_);

  struct UploadTarget {
    std::shared_ptr<Node> node;
    absl::optional<uint32_t> store_path;  // Unset: the node chooses.
  };

  // Where an upload goes, not to a node in `tried`.
  //   NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE  as Placer::PlaceUpload().
  absl::StatusOr<UploadTarget> ForUpload(absl::string_view group,
                                         absl::optional<int64_t> size_bytes,
                                         const Tried& tried)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Where a file goes that is derived from `master_id`, not to a node in
  // `tried`: to the one that took the master, if it can be reached, so that
  // uploads of one name follow on each other there.
  //   INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE  as ForFile().
  absl::StatusOr<UploadTarget> ForDerived(absl::string_view master_id,
                                          const Tried& tried)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The best member for a file, not in `tried`; with `origin_first` the one
  // that took it, unless that seems gone.
  //   INVALID_ARGUMENT        INVALID_FILE_ID.
  //   NOT_FOUND, UNAVAILABLE  as Placer::ReadOrder(); UNAVAILABLE too if all
  //                           members are in `tried`.
  absl::StatusOr<std::shared_ptr<Node>> ForFile(absl::string_view file_id,
                                                const Tried& tried,
                                                bool origin_first = false)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The node with this number, which an upload in parts is at.
  //   NOT_FOUND  UPLOAD_NOT_FOUND: it is not in the cluster any more.
  absl::StatusOr<std::shared_ptr<Node>> ForNodeNumber(uint32_t number)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The one node that changes the file, if it is not in `tried`: the one that
  // created it, or that changes the files of that one since it was removed. If
  // nobody has said which one that is, any member, which does: NoteRefusal().
  //   INVALID_ARGUMENT        INVALID_FILE_ID.
  //   UNAVAILABLE             ORIGIN_DOWN: it is down.
  //   NOT_FOUND, UNAVAILABLE  as ForFile().
  absl::StatusOr<std::shared_ptr<Node>> ForOrigin(absl::string_view file_id,
                                                  const Tried& tried)
      ABSL_LOCKS_EXCLUDED(mu_);

  // How a node that ForOrigin() gave refused the change: remembers where a
  // NOT_ORIGIN says that it is made. What is returned is the refusal, or
  // ORIGIN_DOWN if no node is known by that number: then the node that was
  // asked has not heard yet who it is.
  absl::Status NoteRefusal(absl::string_view file_id,
                           const absl::Status& refusal)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The node that changes what is said of the file, its attributes and when it
  // expires: ForOrigin() of an appender, of another one ForFile() with
  // `origin_first`.
  absl::StatusOr<std::shared_ptr<Node>> ForDescription(
      absl::string_view file_id, const Tried& tried) ABSL_LOCKS_EXCLUDED(mu_);

  // Every node that there ever was and that was not shut down yet.
  std::vector<std::shared_ptr<Node>> AllNodes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Routes {
    std::shared_ptr<const ClusterModel> model;
    std::vector<std::shared_ptr<Node>> nodes;  // As model->nodes().
    bool only_one = false;                     // UseOnly().
  };

  std::shared_ptr<const Routes> routes() const ABSL_LOCKS_EXCLUDED(mu_);

  const std::string zone_;
  const MakeNode make_node_;
  Placer placer_;

  mutable Mutex mu_;
  std::shared_ptr<const Routes> routes_ ABSL_GUARDED_BY(mu_);

  // By the number of the node that created a file, that of the node which
  // changes it. Of removed nodes; as many as there ever were.
  std::map<uint32_t, uint32_t> changers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_ROUTER_H_
