#include "services/storage/core/set_aside.h"

#include <algorithm>
#include <utility>

#include "lib/base/log.h"
#include "services/storage/core/replica_store.h"

namespace cairn {
namespace storage {

bool IsOfOneChange(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

void SetAsideRetries::Tick(absl::Duration now, StorePath* path,
                           const std::shared_ptr<MissingContents>& missing) {
  std::vector<ReplicatedChange> changes = path->replica()->ListSetAside();
  if (changes.empty() && items_.empty()) return;
  std::map<std::string, Item> items;
  for (ReplicatedChange& change : changes) {
    const std::string name = change.file.name;
    Item& item = items[name];
    const auto before = items_.find(name);
    if (before != items_.end()) item = std::move(before->second);
    item.info.change = std::move(change);
    if (item.attempt != nullptr) {
      absl::optional<absl::Status> result;
      {
        MutexLock lock(&item.attempt->mu);
        result = item.attempt->result;
      }
      if (!result.has_value()) continue;
      item.attempt.reset();
      // One that was applied is not listed the next time.
      item.info.error = *result;
      item.wait = std::min(std::max(shortest_, 2 * item.wait), longest_);
      item.next = now + item.wait;
    }
    if (now < item.next) continue;
    item.attempt = std::make_shared<Attempt>();
    item.info.attempts += 1;
    const ReplicatedChange& again = item.info.change;
    const bool adds = again.kind == ChangeKind::kPut;
    if (adds) missing->Add(name, again.change);
    path->replica()->Apply(
        again, [attempt = item.attempt, missing, name, adds,
                change = again.change](absl::StatusOr<Committed> committed) {
          if (committed.ok()) {
            CAIRN_LOG(kInfo, "replication",
                      "change that was set aside is applied log={} change={}",
                      change.log.ToString(), change.sequence);
          } else if (adds) {
            missing->Remove(name, change);
          }
          MutexLock lock(&attempt->mu);
          attempt->result = committed.status();
        });
  }
  items_ = std::move(items);
}

std::vector<SetAsideInfo> SetAsideRetries::List(size_t limit) const {
  std::vector<SetAsideInfo> list;
  for (const auto& [name, item] : items_) {
    if (list.size() == limit) break;
    list.push_back(item.info);
  }
  return list;
}

}  // namespace storage
}  // namespace cairn
