#include "services/tracker/state/rocksdb_state_store.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cairn/disk/tracker/v1/state.pb.h"
#include "lib/base/error_reason.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "services/tracker/state/saved_records.h"

namespace cairn {
namespace tracker {
namespace {

namespace disk = ::cairn::disk::tracker::v1;

// 2 added decisions. A program that knows only 1 must not open a directory that
// has some: to it, nodes that were removed would be members.
constexpr uint32_t kFormatVersion = 2;
constexpr char kTrackerKey[] = "tracker";
constexpr char kPolicyKey[] = "policy";
constexpr char kNodePrefix[] = "node/";
constexpr char kDecisionPrefix[] = "decision/";

std::string KeyOf(const Decision& decision) {
  return absl::StrCat(kDecisionPrefix,
                      static_cast<uint32_t>(decision.key.field), "/",
                      decision.key.subject);
}

// The only place where RocksDB's errors become ours.
absl::Status FromRocksDb(const rocksdb::Status& status,
                         absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = absl::StrCat(what, ": ", status.ToString());
  if (status.IsCorruption()) {
    return ErrorWithReason(absl::StatusCode::kDataLoss,
                           ErrorReason::kContentDamaged,
                           absl::StrCat(text,
                                        "; remove the directory: the nodes "
                                        "and the other trackers bring back "
                                        "what was in it"));
  }
  if (status.IsNoSpace()) {
    return ErrorWithReason(absl::StatusCode::kResourceExhausted,
                           ErrorReason::kDiskFull, text);
  }
  return ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kReadFailed, text);
}

absl::Status Damaged(absl::string_view directory, absl::string_view key) {
  return ErrorWithReason(
      absl::StatusCode::kDataLoss, ErrorReason::kContentDamaged,
      absl::StrCat(
          "tracker state in ", directory, ": record `", key,
          "` cannot be parsed; remove the directory: the nodes and the "
          "other trackers bring back what was in it"));
}

class RocksDbStateStore : public StateStore {
 public:
  RocksDbStateStore(std::string directory, std::unique_ptr<rocksdb::DB> db)
      : directory_(std::move(directory)), db_(std::move(db)) {}

  // Takes the directory for `cluster_id`, or checks that it is this one's.
  absl::Status Claim(absl::string_view cluster_id) {
    std::string value;
    const rocksdb::Status got = db_->Get({}, kTrackerKey, &value);
    disk::SavedTracker saved;
    if (got.IsNotFound()) {
      saved.set_cluster_id(std::string(cluster_id));
      return WriteVersion(std::move(saved));
    }
    CAIRN_RETURN_IF_ERROR(FromRocksDb(got, What()));
    if (!saved.ParseFromString(value)) return Damaged(directory_, kTrackerKey);
    if (saved.format_version() > kFormatVersion) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kNotSupported,
          absl::StrCat("tracker state in ", directory_, " has format ",
                       saved.format_version(), ", this program knows up to ",
                       kFormatVersion, "; use the newer program"));
    }
    if (saved.cluster_id() != cluster_id) {
      return ErrorWithReason(
          absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongCluster,
          absl::StrCat("tracker state in ", directory_, " belongs to cluster ",
                       saved.cluster_id(), ", the configuration says ",
                       cluster_id, "; correct cluster_id or data_dir"),
          {{"cluster_id", saved.cluster_id()}});
    }
    // All of version 1 is in version 2.
    if (saved.format_version() < kFormatVersion) {
      return WriteVersion(std::move(saved));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<NodeRecord>> LoadNodes() override {
    std::vector<NodeRecord> nodes;
    const std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(rocksdb::ReadOptions()));
    for (it->Seek(kNodePrefix); it->Valid(); it->Next()) {
      const absl::string_view key(it->key().data(), it->key().size());
      if (!absl::StartsWith(key, kNodePrefix)) break;
      disk::SavedNode saved;
      NodeRecord node;
      if (saved.ParseFromArray(it->value().data(),
                               static_cast<int>(it->value().size()))) {
        node = FromSaved(saved);
      }
      // A record from a program with other rules is not worth a failed start.
      if (absl::StrCat(kNodePrefix, node.identity.node_uuid) != key ||
          !ValidateIdentity(node.identity).ok() ||
          !ValidateStatus(node.status).ok()) {
        CAIRN_LOG(kWarning, "tracker",
                  "skipping a saved node that is not valid key={} dir={}", key,
                  directory_);
        continue;
      }
      nodes.push_back(std::move(node));
    }
    CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), What()));
    return nodes;
  }

  absl::Status SaveNodes(absl::Span<const NodeRecord> nodes) override {
    if (nodes.empty()) return absl::OkStatus();
    rocksdb::WriteBatch batch;
    for (const NodeRecord& node : nodes) {
      batch.Put(absl::StrCat(kNodePrefix, node.identity.node_uuid),
                ToSaved(node).SerializeAsString());
    }
    return FromRocksDb(db_->Write({}, &batch), What());
  }

  absl::StatusOr<absl::optional<PlacementPolicy>> LoadPolicy() override {
    std::string value;
    const rocksdb::Status got = db_->Get({}, kPolicyKey, &value);
    if (got.IsNotFound()) return absl::optional<PlacementPolicy>();
    CAIRN_RETURN_IF_ERROR(FromRocksDb(got, What()));
    disk::SavedPolicy saved;
    if (!saved.ParseFromString(value)) return Damaged(directory_, kPolicyKey);
    return absl::optional<PlacementPolicy>(FromSaved(saved));
  }

  absl::Status SavePolicy(const PlacementPolicy& policy) override {
    return FromRocksDb(
        db_->Put({}, kPolicyKey, ToSaved(policy).SerializeAsString()), What());
  }

  absl::StatusOr<std::vector<Decision>> LoadDecisions() override {
    std::vector<Decision> decisions;
    const std::unique_ptr<rocksdb::Iterator> it(
        db_->NewIterator(rocksdb::ReadOptions()));
    for (it->Seek(kDecisionPrefix); it->Valid(); it->Next()) {
      const absl::string_view key(it->key().data(), it->key().size());
      if (!absl::StartsWith(key, kDecisionPrefix)) break;
      disk::SavedDecision saved;
      Decision decision;
      if (saved.ParseFromArray(it->value().data(),
                               static_cast<int>(it->value().size()))) {
        decision = FromSaved(saved);
      }
      if (KeyOf(decision) != key || !ValidateDecision(decision).ok()) {
        return Damaged(directory_, key);
      }
      decisions.push_back(std::move(decision));
    }
    CAIRN_RETURN_IF_ERROR(FromRocksDb(it->status(), What()));
    return decisions;
  }

  absl::Status SaveDecisions(absl::Span<const Decision> decisions,
                             bool synced) override {
    if (decisions.empty()) return absl::OkStatus();
    rocksdb::WriteBatch batch;
    for (const Decision& decision : decisions) {
      batch.Put(KeyOf(decision), ToSaved(decision).SerializeAsString());
    }
    rocksdb::WriteOptions options;
    options.sync = synced;
    return FromRocksDb(db_->Write(options, &batch), What());
  }

 private:
  absl::Status WriteVersion(disk::SavedTracker saved) {
    saved.set_format_version(kFormatVersion);
    return FromRocksDb(db_->Put({}, kTrackerKey, saved.SerializeAsString()),
                       What());
  }

  std::string What() const {
    return absl::StrCat("tracker state in ", directory_);
  }

  const std::string directory_;
  const std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> OpenRocksDbStateStore(
    absl::string_view directory, absl::string_view cluster_id) {
  rocksdb::Options options;
  options.create_if_missing = true;
  // A few megabytes in all: this is a list of nodes.
  options.write_buffer_size = 1 << 20;
  options.max_open_files = 32;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.max_total_wal_size = 4 << 20;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(1 << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  const std::string path(directory);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(options, path, &db);
  if (opened.IsIOError() && absl::StrContains(opened.ToString(), "lock")) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kUnspecified,
        absl::StrCat("tracker state in ", path,
                     " is in use: another tracker runs on it; stop it or "
                     "choose another data_dir (",
                     opened.ToString(), ")"));
  }
  CAIRN_RETURN_IF_ERROR(
      FromRocksDb(opened, absl::StrCat("tracker state in ", path)));
  auto store = std::make_unique<RocksDbStateStore>(
      path, std::unique_ptr<rocksdb::DB>(db));
  CAIRN_RETURN_IF_ERROR(store->Claim(cluster_id));
  return store;
}

}  // namespace tracker
}  // namespace cairn
