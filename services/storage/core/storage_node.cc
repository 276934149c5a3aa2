#include "services/storage/core/storage_node.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// Free space changes slowly; asking for it costs system calls.
constexpr absl::Duration kFreeBytesAge = absl::Seconds(1);
constexpr size_t kPathsMax = 256;

absl::Status UnknownPath(uint32_t index) {
  return ErrorWithReason(
      absl::StatusCode::kNotFound, ErrorReason::kUnknownStorePath,
      absl::StrFormat("this node has no store path M%02X", index),
      {{"path", absl::StrCat(index)}});
}

absl::Status OfflinePath(uint32_t index, absl::string_view detail) {
  return ErrorWithReason(
      absl::StatusCode::kUnavailable, ErrorReason::kStorePathOffline,
      absl::StrFormat("store path M%02X is offline: %s", index, detail),
      {{"path", absl::StrCat(index)}});
}

}  // namespace

StorageNode::StorageNode(NodeIdentity identity, PathPolicy policy,
                         const FileIdCodec* codec, Clock* clock)
    : identity_(std::move(identity)),
      policy_(policy),
      codec_(codec),
      clock_(clock) {}

StorageNode::~StorageNode() {
  Stop();
  for (const auto& slot : slots_) Close(slot.get());
}

absl::Status StorageNode::AddPath(absl::string_view directory,
                                  StorePathHooks hooks) {
  CAIRN_CHECK(slots_.size() < kPathsMax);
  auto slot = std::make_unique<Slot>();
  slot->directory = std::string(directory);
  slot->hooks = std::move(hooks);
  slots_.push_back(std::move(slot));
  return Open(slots_.back().get());
}

absl::Status StorageNode::Open(Slot* slot) {
  absl::StatusOr<std::unique_ptr<StorePath>> opened = slot->hooks.open();
  if (!opened.ok()) {
    MutexLock lock(&slot->mu);
    slot->detail = std::string(opened.status().message());
    return opened.status();
  }
  names_.StartAfter((*opened)->newest_create_unix_seconds());
  auto unused = std::make_shared<Notification>();
  MutexLock lock(&slot->mu);
  slot->owned = *std::move(opened);
  slot->path = std::shared_ptr<StorePath>(
      slot->owned.get(), [unused](StorePath* /*path*/) { unused->Notify(); });
  slot->unused = std::move(unused);
  slot->detail.clear();
  return absl::OkStatus();
}

void StorageNode::Close(Slot* slot) {
  std::unique_ptr<StorePath> owned;
  std::shared_ptr<Notification> unused;
  {
    MutexLock lock(&slot->mu);
    if (slot->owned == nullptr) return;
    owned = std::move(slot->owned);
    unused = std::move(slot->unused);
    slot->path = nullptr;
  }
  owned->Stop();
  unused->WaitForNotification();
}

absl::StatusOr<std::shared_ptr<StorePath>> StorageNode::Path(
    uint32_t index) const {
  if (index >= slots_.size()) return UnknownPath(index);
  const Slot& slot = *slots_[index];
  std::string detail;
  {
    MutexLock lock(&slot.mu);
    if (slot.path != nullptr) return slot.path;
    detail = slot.detail;
  }
  return OfflinePath(index, detail);
}

absl::StatusOr<StorageNode::Located> StorageNode::Locate(
    absl::string_view file_id) const {
  Located located;
  CAIRN_ASSIGN_OR_RETURN(located.id, codec_->Verify(file_id));
  if (located.id.group != identity_.group) {
    return ErrorWithReason(
        absl::StatusCode::kFailedPrecondition, ErrorReason::kWrongGroup,
        absl::StrCat("the file is in group ", located.id.group,
                     ", this node in ", identity_.group,
                     ": ask a tracker for a member of its group"),
        {{"group", identity_.group}});
  }
  CAIRN_ASSIGN_OR_RETURN(located.path, Path(located.id.store_path));
  return located;
}

absl::StatusOr<StorageNode::Derived> StorageNode::NameDerived(
    absl::string_view master_id, absl::string_view prefix,
    absl::string_view extension) const {
  CAIRN_RETURN_IF_ERROR(Locate(master_id).status());
  CAIRN_ASSIGN_OR_RETURN(const std::string id,
                         DerivedFileId(master_id, prefix, extension));
  CAIRN_ASSIGN_OR_RETURN(FileIdParts parts, ParseFileId(id));
  return Derived{parts.store_path, std::move(parts.name)};
}

absl::StatusOr<StorageNode::Placed> StorageNode::Place(
    absl::string_view group, absl::optional<uint32_t> index, int64_t bytes) {
  if (!group.empty() && group != identity_.group) {
    return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                           ErrorReason::kWrongGroup,
                           absl::StrCat("the upload is for group ", group,
                                        ", this node is in ", identity_.group),
                           {{"group", identity_.group}});
  }
  if (index.has_value()) {
    Placed placed;
    CAIRN_ASSIGN_OR_RETURN(placed.path, Path(*index));
    CAIRN_RETURN_IF_ERROR(placed.path->Writable(bytes));
    placed.index = static_cast<uint8_t>(*index);
    return placed;
  }
  absl::Status refusal = absl::UnavailableError("the node has no store path");
  for (const uint8_t candidate : PathsInOrder()) {
    absl::StatusOr<std::shared_ptr<StorePath>> path = Path(candidate);
    absl::Status taken = path.status();
    if (path.ok()) taken = (*path)->Writable(bytes);
    if (taken.ok()) return Placed{*std::move(path), candidate};
    // Of several reasons, "full" is what an operator must hear of.
    if (!absl::IsResourceExhausted(refusal)) refusal = taken;
  }
  return refusal;
}

std::vector<uint8_t> StorageNode::PathsInOrder() {
  std::vector<uint8_t> order(slots_.size());
  std::iota(order.begin(), order.end(), uint8_t{0});
  if (order.size() < 2) return order;
  const uint32_t turn = turn_.fetch_add(1, std::memory_order_relaxed);
  std::rotate(order.begin(), order.begin() + turn % order.size(), order.end());
  if (policy_ == PathPolicy::kMostFree) {
    std::vector<int64_t> free_bytes(slots_.size(), -1);
    for (size_t i = 0; i < slots_.size(); ++i) {
      const absl::StatusOr<std::shared_ptr<StorePath>> path =
          Path(static_cast<uint32_t>(i));
      if (path.ok()) free_bytes[i] = FreeBytes(slots_[i].get(), path->get());
    }
    // Stable: equal ones go on in turn.
    std::stable_sort(order.begin(), order.end(), [&](uint8_t a, uint8_t b) {
      return free_bytes[a] > free_bytes[b];
    });
  }
  return order;
}

int64_t StorageNode::FreeBytes(Slot* slot, StorePath* path) {
  const absl::Duration now = clock_->Monotonic();
  {
    MutexLock lock(&slot->mu);
    if (now - slot->free_bytes_time < kFreeBytesAge) return slot->free_bytes;
    slot->free_bytes_time = now;
  }
  const StorePathStatus status = path->Status();
  MutexLock lock(&slot->mu);
  slot->free_bytes = status.free_bytes - status.reserve_bytes;
  return slot->free_bytes;
}

StorageNode::NewFile StorageNode::MakeName(uint8_t path_index, FileKind kind,
                                           int64_t size_bytes, uint32_t crc32c,
                                           absl::string_view extension) {
  const NameClock::Moment moment =
      names_.Next(absl::ToUnixSeconds(clock_->Now()));
  FileIdFields fields;
  fields.node_number = identity_.node_number;
  fields.create_unix_seconds = moment.unix_seconds;
  fields.counter = moment.counter;
  if (kind == FileKind::kAppender) {
    fields.flags = kFileIdAppender;
  } else {
    fields.size_bytes = size_bytes;
    fields.crc32c = crc32c;
  }
  return {codec_->MakeName(identity_.group, path_index, fields, extension),
          moment.unix_seconds};
}

StorageNode::NewFile StorageNode::MakeDerived(absl::string_view name) const {
  return {std::string(name), absl::ToUnixSeconds(clock_->Now())};
}

std::string StorageNode::FileId(uint8_t path_index,
                                absl::string_view name) const {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const char path[] = {'/', 'M', kDigits[path_index >> 4],
                       kDigits[path_index & 15], '/'};
  return absl::StrCat(identity_.group, absl::string_view(path, sizeof(path)),
                      name);
}

StorageNode::Claim::~Claim() {
  if (node_ != nullptr) node_->Release(request_id_);
}

StorageNode::Claim::Claim(Claim&& other) noexcept
    : node_(std::exchange(other.node_, nullptr)),
      request_id_(other.request_id_),
      replay_(std::move(other.replay_)) {}

StorageNode::Claim& StorageNode::Claim::operator=(Claim&& other) noexcept {
  if (this != &other) {
    if (node_ != nullptr) node_->Release(request_id_);
    node_ = std::exchange(other.node_, nullptr);
    request_id_ = other.request_id_;
    replay_ = std::move(other.replay_);
  }
  return *this;
}

void StorageNode::Release(const Uuid& request_id) {
  MutexLock lock(&claims_mu_);
  claims_.erase(request_id);
}

void StorageNode::ClaimRequest(const Uuid& request_id, Durability wanted,
                               uint8_t target, ClaimDone done) {
  Claim claim;
  if (slots_.size() < 2 || request_id.is_nil()) {
    done(std::move(claim));
    return;
  }
  bool claimed = false;
  {
    MutexLock lock(&claims_mu_);
    claimed = claims_.insert(request_id).second;
  }
  if (!claimed) {
    done(ErrorWithReason(absl::StatusCode::kUnavailable,
                         ErrorReason::kRequestInProgress,
                         "an earlier call with this request_id still runs"));
    return;
  }
  claim.node_ = this;
  claim.request_id_ = request_id;
  LookElsewhere(std::move(claim), wanted, target, 0, std::move(done));
}

void StorageNode::LookElsewhere(Claim claim, Durability wanted, uint8_t target,
                                size_t from, ClaimDone done) {
  for (size_t i = from; i < slots_.size(); ++i) {
    if (i == target) continue;
    const absl::StatusOr<std::shared_ptr<StorePath>> path =
        Path(static_cast<uint32_t>(i));
    // What an offline path answered cannot be told, and its disk may never come
    // back; refusing every upload meanwhile would be worse than a second copy.
    if (!path.ok()) continue;
    absl::optional<absl::StatusOr<absl::optional<Committed>>> found =
        (*path)->TryFindRequest(claim.request_id_, wanted);
    if (!found.has_value()) {
      // It has to wait for the disk: go on from here on the path's own pool.
      struct Rest {
        Claim claim;
        ClaimDone done;
      };
      auto rest =
          std::make_shared<Rest>(Rest{std::move(claim), std::move(done)});
      const bool queued = (*path)->io()->TrySubmit(
          [this, rest, wanted, target, i, path = *path]() {
            absl::StatusOr<absl::optional<Committed>> waited =
                path->FindRequest(rest->claim.request_id_, wanted);
            if (!waited.ok()) {
              rest->done(waited.status());
            } else if (waited->has_value()) {
              rest->claim.replay_ =
                  Replay{**std::move(waited), static_cast<uint8_t>(i)};
              rest->done(std::move(rest->claim));
            } else {
              LookElsewhere(std::move(rest->claim), wanted, target, i + 1,
                            std::move(rest->done));
            }
          });
      if (!queued) {
        rest->done(ErrorWithReason(absl::StatusCode::kResourceExhausted,
                                   ErrorReason::kOverloaded,
                                   "the queue of a store path is full"));
      }
      return;
    }
    if (!found->ok()) {
      done(found->status());
      return;
    }
    if ((*found)->has_value()) {
      claim.replay_ = Replay{***std::move(found), static_cast<uint8_t>(i)};
      break;
    }
  }
  done(std::move(claim));
}

std::vector<StorePathStatus> StorageNode::Status() const {
  std::vector<StorePathStatus> statuses;
  for (const auto& slot : slots_) {
    std::shared_ptr<StorePath> path;
    StorePathStatus status;
    status.state = StorePathState::kOffline;
    status.directory = slot->directory;
    {
      MutexLock lock(&slot->mu);
      path = slot->path;
      status.detail = slot->detail;
    }
    if (path != nullptr) status = path->Status();
    statuses.push_back(std::move(status));
  }
  return statuses;
}

absl::Status StorageNode::RebuildIndex(
    uint32_t index, std::function<void(const JobProgress&)> progress) {
  if (index >= slots_.size()) return UnknownPath(index);
  Slot* const slot = slots_[index].get();
  {
    MutexLock lock(&slot->mu);
    if (slot->rebuilding) {
      return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                             ErrorReason::kJobRunning,
                             "the index of this path is being rebuilt already");
    }
    slot->rebuilding = true;
    slot->detail = "its index is being rebuilt";
  }
  Close(slot);
  absl::Status outcome = slot->hooks.rebuild(std::move(progress));
  if (outcome.ok()) outcome = Open(slot);
  MutexLock lock(&slot->mu);
  slot->rebuilding = false;
  if (!outcome.ok()) {
    slot->detail =
        absl::StrCat("rebuilding its index failed: ", outcome.message());
  }
  return outcome;
}

void StorageNode::Stop() {
  for (const auto& slot : slots_) {
    std::shared_ptr<StorePath> path;
    {
      MutexLock lock(&slot->mu);
      path = slot->path;
    }
    if (path != nullptr) path->Stop();
  }
}

}  // namespace storage
}  // namespace cairn
