#include "services/storage/store/log_cutter.h"

#include <algorithm>

#include "cairn/disk/v1/index.pb.h"
#include "cairn/disk/v1/segment.pb.h"
#include "lib/base/log.h"
#include "lib/base/status_macros.h"
#include "lib/fault/fault_point.h"
#include "services/storage/store/segment_format.h"

namespace cairn {
namespace storage {
namespace {

FaultPoint before_cut("log_cutter.before_cut");
FaultPoint after_cut("log_cutter.after_cut");

constexpr int kVersionCounterBits = 16;

// A record for less than this many entries is not worth it, unless the oldest
// of them is over age by a part of the retention time.
constexpr uint64_t kWorthwhile = 1000;
constexpr int kOverAgePart = 8;

}  // namespace

absl::Status WriteLogs(const std::vector<LogRange>& logs, PathState* state,
                       Journal* journal, PathHealth* health,
                       ChangeSet* changes) {
  CAIRN_RETURN_IF_ERROR(health->CheckSmallChange());
  disk::v1::LogPositions positions;
  uint32_t next = state->NextLogOrigin();
  for (const LogRange& log : logs) {
    LogHead head;
    if (!state->FindLog(log.log, &head)) {
      head.origin = next++;
      head.id = log.log;
    }
    head.applied = std::max(head.applied, log.applied);
    head.cut = std::max(head.cut, log.cut);
    head.unsure = std::max(head.unsure, log.unsure);
    changes->SetLog(head);
    disk::v1::LogState* const to = positions.add_logs();
    to->set_log_origin(head.origin);
    to->set_incarnation(head.id.incarnation.bytes().data(), 16);
    to->set_epoch(head.id.epoch);
    to->set_cut_sequence(head.cut);
    to->set_applied_sequence(head.applied);
    to->set_unsure_sequence(head.unsure);
  }
  absl::Status written = journal->RollIfNeeded();
  if (written.ok()) {
    written = journal->AppendControl(RecordType::kLogs,
                                     positions.SerializeAsString());
  }
  if (!written.ok() && !absl::IsResourceExhausted(written)) {
    health->SetBroken(written);
  }
  return written;
}

absl::Status LogCutter::RunOnce() {
  // It gives room back, but with the next checkpoint, and needs some now.
  if (!parts_.health->CheckWrite(0).ok()) return absl::OkStatus();
  std::vector<LogRange> cuts;
  for (const LogHead& log : parts_.state->Logs()) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t cut, CutOf(log));
    if (cut <= log.cut) continue;
    LogRange range;
    range.log = log.id;
    range.cut = cut;
    cuts.push_back(range);
  }
  if (cuts.empty()) return absl::OkStatus();
  before_cut.PassOrDie();
  CAIRN_RETURN_IF_ERROR(
      parts_.committer->Run([this, &cuts](ChangeSet* changes) -> absl::Status {
        return WriteLogs(cuts, parts_.state, parts_.journal, parts_.health,
                         changes);
      }));
  after_cut.PassOrDie();
  for (const LogRange& cut : cuts) {
    CAIRN_LOG(kDebug, "store", "log cut path={} log={} up_to={}",
              parts_.options->directory, cut.log.ToString(), cut.cut);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> LogCutter::CutOf(const LogHead& log) const {
  // A request_id finds what it did in its entry: that must not go before it.
  const absl::Duration shortest = std::max(parts_.options->log_retention,
                                           parts_.options->request_retention);
  const absl::Duration longest =
      std::max(parts_.options->log_retention_longest, shortest);
  CAIRN_ASSIGN_OR_RETURN(
      const uint64_t of_all,
      LastOlderThan(log, parts_.state->PassedUpTo(log.origin), shortest));
  CAIRN_ASSIGN_OR_RETURN(
      const uint64_t of_present,
      LastOlderThan(log, parts_.state->HeldByPresentUpTo(log.origin), longest));
  const uint64_t cut = std::max(of_all, of_present);
  if (cut == log.cut || cut - log.cut >= kWorthwhile) return cut;
  const absl::Duration age = cut == of_all ? shortest : longest;
  CAIRN_ASSIGN_OR_RETURN(
      const uint64_t over_age,
      LastOlderThan(log, log.cut + 1, age + age / kOverAgePart));
  return over_age > log.cut ? cut : log.cut;
}

absl::StatusOr<uint64_t> LogCutter::LastOlderThan(const LogHead& log,
                                                  uint64_t until,
                                                  absl::Duration age) const {
  const int64_t oldest_ms = absl::ToUnixMillis(parts_.clock->Now() - age);
  // Versions of one log grow, so the old ones are the first ones.
  uint64_t old = log.cut;
  uint64_t young = std::max(std::min(until, log.synced), log.cut) + 1;
  while (young - old > 1) {
    const uint64_t middle = old + (young - old) / 2;
    disk::v1::LogEntry entry;
    CAIRN_ASSIGN_OR_RETURN(
        const Lookup found,
        parts_.index->GetLog(log.origin, middle, /*may_block=*/true, &entry));
    const auto ms =
        static_cast<int64_t>(entry.version_clock() >> kVersionCounterBits);
    if (found == Lookup::kFound && ms < oldest_ms) {
      old = middle;
    } else {
      young = middle;
    }
  }
  return old;
}

}  // namespace storage
}  // namespace cairn
