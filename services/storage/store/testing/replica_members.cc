#include "services/storage/store/testing/replica_members.h"

#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "gtest/gtest.h"
#include "lib/base/check.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/replica_source.h"
#include "services/storage/store/test_path.h"

namespace cairn {
namespace storage {

Member::Member(uint32_t number, uint64_t seed)
    : fs_(seed), options_(TestPathOptions("/disk/path")) {
  options_.node_number = number;
  options_.node_uuid = Uuid::Random();
  CAIRN_CHECK_OK(fs_.CreateDirectory("/disk"));
  CAIRN_CHECK_OK(fs_.SyncDirectory("/"));
  Open();
}

void Member::Open() {
  path_.reset();
  auto opened = OpenStorePath(options_, &fs_, &clock_);
  CAIRN_CHECK_MSG(opened.ok(), opened.status().ToString());
  path_ = *std::move(opened);
}

void Member::KillAndOpen() {
  fs_.StopAfter(0);
  path_.reset();
  fs_.KillProcess();
  Open();
}

void Member::PowerCutAndOpen() {
  fs_.StopAfter(0);
  path_.reset();
  fs_.Crash();
  options_.boot_id += "+";
  Open();
}

void Member::Rebuild() {
  path_->Stop();
  path_.reset();
  CAIRN_CHECK_OK(RebuildIndex(options_, &fs_, &clock_, nullptr).status());
  Open();
}

LogRange Member::RangeOf(const LogId& id) {
  for (const LogRange& log : replica()->Logs()) {
    if (log.log == id) return log;
  }
  return {};
}

void Happen(Between between, Member* member) {
  switch (between) {
    case Between::kNothing:
      break;
    case Between::kStop:
      member->path()->Stop();
      member->Open();
      break;
    case Between::kKill:
      member->KillAndOpen();
      break;
    case Between::kCheckpoint:
      ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
      member->KillAndOpen();
      break;
    case Between::kPowerCut:
      member->PowerCutAndOpen();
      break;
    case Between::kRebuild:
      member->Rebuild();
      break;
  }
}

void GiveBack(Member* member) {
  ASSERT_THAT(member->path()->Compact(/*dead_share_min=*/2, nullptr), IsOk());
}

void ExpectFile(Member* member, const std::string& name,
                const std::string& content) {
  SCOPED_TRACE(name);
  const auto read = ReadFile(member->path(), name);
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(*read == content);
}

absl::StatusOr<Committed> ApplyAndWait(Member* to, ReplicatedChange change) {
  Notification applied;
  absl::StatusOr<Committed> answer;
  to->replica()->Apply(std::move(change),
                       [&](absl::StatusOr<Committed> committed) {
                         answer = std::move(committed);
                         applied.Notify();
                       });
  applied.WaitForNotification();
  return answer;
}

absl::StatusOr<Committed> FetchContent(Member* from, Member* to,
                                       const std::string& name) {
  const auto known = to->replica()->Find(name);
  CAIRN_CHECK_MSG(known.ok(), known.status().ToString());
  CAIRN_CHECK(known->has_value());
  const absl::StatusOr<std::string> content = ReadFile(from->path(), name);
  CAIRN_CHECK_MSG(content.ok(), content.status().ToString());
  auto upload = to->path()->StartUpload((*known)->file.size_bytes);
  CAIRN_CHECK_MSG(upload.ok(), upload.status().ToString());
  CAIRN_CHECK_OK((*upload)->Write(absl::Cord(*content)));
  ReplicatedChange change;
  change.mode = ReplicatedChange::Mode::kContent;
  change.change = (*known)->change;
  change.file = (*known)->file;
  change.synced = true;
  Notification done;
  absl::StatusOr<Committed> answer;
  (*upload)->FinishReplica(std::move(change),
                           [&](absl::StatusOr<Committed> committed) {
                             answer = std::move(committed);
                             done.Notify();
                           });
  done.WaitForNotification();
  return answer;
}

void Copy(Member* from, Member* to, const LogId& log) {
  ASSERT_THAT(to->replica()->SetLogs({LogRange{log}}), IsOk());
  while (true) {
    const uint64_t have = to->RangeOf(log).applied;
    auto changes = ReadChanges(from->path(), log, have, ChangeLimits{});
    ASSERT_THAT(changes, IsOk());
    if (changes->empty()) break;
    for (ReplicatedChange& change : *changes) {
      absl::StatusOr<Committed> applied = ApplyAndWait(to, change);
      if (change.base.has_value() &&
          ReasonOf(applied.status()) == ErrorReason::kVersionMismatch) {
        change.base.reset();
        change.content.reset();
        applied = ApplyAndWait(to, std::move(change));
      }
      ASSERT_THAT(applied, IsOk());
    }
  }
  for (const std::string& name : to->replica()->ListMissing("", 100)) {
    const auto known = from->replica()->Find(name);
    ASSERT_THAT(known, IsOk());
    if (!known->has_value() || (*known)->deleted) continue;
    if (to->replica()->ShareContent(**known)) continue;
    ASSERT_THAT(FetchContent(from, to, name), IsOk());
  }
}

void Copy(Member* from, Member* to) { Copy(from, to, from->own_log().log); }

}  // namespace storage
}  // namespace cairn
