// A storage node: its store paths, and the rules that are not one path's own.
//
//   file ID ──▶ Locate() ──▶ path + name           (tag checked, disk
//   untouched) upload  ──▶ Place()  ──▶ path ──▶ NewFile() ──▶ name retry   ──▶
//   Claim()  ──▶ the earlier answer, on whichever path it was given
//
// Handlers hold the shared_ptr of a path for as long as they use anything that
// came from it (an Upload, an OpenFile). Thread-safe; never blocks unless it
// says so.

#ifndef CAIRN_SERVICES_STORAGE_CORE_STORAGE_NODE_H_
#define CAIRN_SERVICES_STORAGE_CORE_STORAGE_NODE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/file_id/file_id.h"
#include "services/storage/core/name_clock.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

struct NodeIdentity {
  std::string name;
  Uuid node_uuid;
  uint32_t node_number = 0;
  std::string group;
  Uuid cluster_id;
};

enum class PathPolicy { kRoundRobin, kMostFree };

// How the node opens and mends one of its paths. Both block.
struct StorePathHooks {
  // Opens the path.
  std::function<absl::StatusOr<std::unique_ptr<StorePath>>()> open;

  // Makes a new index from the segments, while the path is closed.
  std::function<absl::Status(std::function<void(const JobProgress&)>)> rebuild;
};

class StorageNode {
 public:
  // `codec` and `clock` are borrowed for the node's life.
  StorageNode(NodeIdentity identity, PathPolicy policy,
              const FileIdCodec* codec, Clock* clock);

  // Stops every path and waits until no handler uses one.
  ~StorageNode();

  StorageNode(const StorageNode&) = delete;
  StorageNode& operator=(const StorageNode&) = delete;

  // Adds a path and opens it. A path that cannot be opened stays as an offline
  // one, whose error is returned. Call it before the node serves, once for each
  // index from 0 on. Blocks.
  absl::Status AddPath(absl::string_view directory, StorePathHooks hooks);

  const NodeIdentity& identity() const { return identity_; }
  size_t path_count() const { return slots_.size(); }

  // A path by its index.
  //   NOT_FOUND    UNKNOWN_STORE_PATH.
  //   UNAVAILABLE  STORE_PATH_OFFLINE: the message says why.
  absl::StatusOr<std::shared_ptr<StorePath>> Path(uint32_t index) const;

  struct Located {
    std::shared_ptr<StorePath> path;
    FileIdParts id;
  };

  // Checks a file ID and finds its path.
  //   INVALID_ARGUMENT     INVALID_FILE_ID, FORGED_FILE_ID.
  //   FAILED_PRECONDITION  WRONG_GROUP.
  //   NOT_FOUND, UNAVAILABLE  as Path().
  absl::StatusOr<Located> Locate(absl::string_view file_id) const;

  struct Placed {
    std::shared_ptr<StorePath> path;
    uint8_t index = 0;
  };

  // Chooses a path that takes `bytes` more; the one that is asked for, or one
  // by the node's policy. `group` is the node's or empty.
  //   FAILED_PRECONDITION  WRONG_GROUP, STORE_PATH_READ_ONLY.
  //   NOT_FOUND            UNKNOWN_STORE_PATH.
  //   RESOURCE_EXHAUSTED   DISK_FULL: every path is.
  //   UNAVAILABLE          STORE_PATH_OFFLINE.
  absl::StatusOr<Placed> Place(absl::string_view group,
                               absl::optional<uint32_t> index, int64_t bytes);

  struct NewFile {
    std::string name;
    int64_t create_unix_seconds = 0;
  };

  // Where a derived file lies, and its name.
  struct Derived {
    uint8_t path_index = 0;
    std::string name;
  };

  // Checks the ID of a master and names a file after it. The master itself is
  // not looked for.
  //   INVALID_ARGUMENT  INVALID_FILE_ID, FORGED_FILE_ID. WRONG_KIND: the master
  //                     is derived itself. INVALID_FIELD.
  //   FAILED_PRECONDITION, NOT_FOUND, UNAVAILABLE  as Locate().
  absl::StatusOr<Derived> NameDerived(absl::string_view master_id,
                                      absl::string_view prefix,
                                      absl::string_view extension) const;

  // Makes a name that no other file of the node has or ever had. `extension` is
  // valid.
  NewFile MakeName(uint8_t path_index, FileKind kind, int64_t size_bytes,
                   uint32_t crc32c, absl::string_view extension);

  // A derived file that is uploaded now.
  NewFile MakeDerived(absl::string_view name) const;

  // The whole ID of a file that lies on a path.
  std::string FileId(uint8_t path_index, absl::string_view name) const;

  // An earlier answer, and where it was given.
  struct Replay {
    Committed committed;
    uint8_t path_index = 0;
  };

  // A request_id that nobody else uses meanwhile. Released when destroyed.
  class Claim {
   public:
    Claim() = default;
    ~Claim();
    Claim(Claim&& other) noexcept;
    Claim& operator=(Claim&& other) noexcept;

    // Set if the request was answered before: give this answer.
    const absl::optional<Replay>& replay() const { return replay_; }

   private:
    friend class StorageNode;
    StorageNode* node_ = nullptr;
    Uuid request_id_;
    absl::optional<Replay> replay_;
  };
  using ClaimDone = absl::AnyInvocable<void(absl::StatusOr<Claim>)>;

  // Makes sure that an upload which may land on any path is stored once: claims
  // its request_id and looks for an earlier answer on the paths other than
  // `target`, which sees to its own. Free of cost where `target` is the only
  // path. An earlier answer is at least as durable as `wanted`. `done` runs in
  // the call, or on the io() of a path.
  //   UNAVAILABLE  REQUEST_IN_PROGRESS: the first call still runs; retry.
  void ClaimRequest(const Uuid& request_id, Durability wanted, uint8_t target,
                    ClaimDone done);

  // One for each path, in order. Cheap enough for once a second.
  std::vector<StorePathStatus> Status() const;

  // For jobs. Takes a path out of service, closes it once nobody uses it, makes
  // its index anew and puts it back. Blocks for long.
  //   NOT_FOUND            UNKNOWN_STORE_PATH.
  //   FAILED_PRECONDITION  JOB_RUNNING: a rebuild of it runs already.
  absl::Status RebuildIndex(uint32_t index,
                            std::function<void(const JobProgress&)> progress);

  // Stops every path: what is queued is answered, then every call is refused.
  // Blocks.
  void Stop();

 private:
  struct Slot {
    std::string directory;
    StorePathHooks hooks;

    mutable Mutex mu;
    // The path itself, and what is lent to handlers: `path` and its copies only
    // say who still uses it, and notify `unused` when nobody does. So a path is
    // never destroyed by a handler, which may run on the path's own pool.
    std::unique_ptr<StorePath> owned ABSL_GUARDED_BY(mu);
    std::shared_ptr<StorePath> path ABSL_GUARDED_BY(mu);
    std::shared_ptr<Notification> unused ABSL_GUARDED_BY(mu);
    std::string detail ABSL_GUARDED_BY(mu);  // Why `path` is null.
    bool rebuilding ABSL_GUARDED_BY(mu) = false;
    int64_t free_bytes ABSL_GUARDED_BY(mu) = 0;
    absl::Duration free_bytes_time ABSL_GUARDED_BY(mu) =
        -absl::InfiniteDuration();
  };

  absl::Status Open(Slot* slot);

  // Stops the path and destroys it once nobody uses it. Blocks.
  static void Close(Slot* slot);

  int64_t FreeBytes(Slot* slot, StorePath* path);
  std::vector<uint8_t> PathsInOrder();
  void Release(const Uuid& request_id);
  void LookElsewhere(Claim claim, Durability wanted, uint8_t target,
                     size_t from, ClaimDone done);

  const NodeIdentity identity_;
  const PathPolicy policy_;
  const FileIdCodec* const codec_;
  Clock* const clock_;
  NameClock names_;
  std::vector<std::unique_ptr<Slot>> slots_;  // Fixed once the node serves.
  std::atomic<uint32_t> turn_{0};

  Mutex claims_mu_;
  absl::flat_hash_set<Uuid> claims_ ABSL_GUARDED_BY(claims_mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_STORAGE_NODE_H_
