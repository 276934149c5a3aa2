// One comparison of a store path with the same path of one other member: what
// both should have, and what this one lacks is taken over.
//
//   digests of the peer, range by range ─▶ the same number here? ─▶ next range
//                                               └─ no ─▶ its names one by one:
//   known there, and here not, or older   ─▶ taken over, its content fetched
//   known here, and there not, or older   ─▶ the peer does the same with us
//   one version, two files                ─▶ a conflict: said, never touched
//   its change has not reached one of us  ─▶ under way: the log brings it, or
//                                            if it has not by the next
//                                            comparison, that one does
//
// What nobody may do is bring a deleted file back. Tombstones are forgotten
// once every member has passed them, so "not known here" may mean "deleted
// here": a name that is not known here is taken from a peer only if the peer
// has applied every change that this path had applied when the comparison
// began, deletions among them.
//
// Blocking work runs on the path's io(), a page at a time. Thread-safe.

#ifndef CAIRN_SERVICES_STORAGE_CORE_COMPARISON_H_
#define CAIRN_SERVICES_STORAGE_CORE_COMPARISON_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "services/storage/core/digest_source.h"
#include "services/storage/core/missing_contents.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/replica_log.h"
#include "services/storage/core/store_path.h"
#include "services/storage/core/upkeep_report.h"

namespace cairn {
namespace storage {

// Names that were under way, and the versions that the peer had of them.
using NamesUnderWay = std::map<std::string, Version>;

class Comparison : public std::enable_shared_from_this<Comparison> {
 public:
  // To be made with make_shared: whoever works for it holds it too. `wake` is
  // called when it has ended; on any thread, must not block. `transport` and
  // `clock` are borrowed. `waited` was under way in the comparison before: no
  // log brings it. A peer has files without their changes when it was half way
  // through a snapshot of a member that is gone.
  Comparison(std::shared_ptr<StorePath> path,
             std::shared_ptr<MissingContents> missing, PeerTransport* transport,
             const Peer& peer, uint8_t store_path, NamesUnderWay waited,
             Clock* clock, std::function<void()> wake);
  ~Comparison();  // After it has ended.

  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  // Called once, before the rest.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

  // It may look at so many names more, of which it keeps at most `names_max` in
  // store. Nothing happens without.
  void Allow(int64_t names, int64_t names_max) ABSL_LOCKS_EXCLUDED(mu_);

  // Set once nothing runs any more. OK: all ranges were compared.
  absl::optional<absl::Status> ended() const ABSL_LOCKS_EXCLUDED(mu_);

  // When the peer was heard last, or something was done here.
  absl::Duration heard() const ABSL_LOCKS_EXCLUDED(mu_);

  ComparisonReport report() const ABSL_LOCKS_EXCLUDED(mu_);

  // What is under way; some of it, if it is very much. Once it has ended.
  NamesUnderWay TakeUnderWay();

 private:
  enum class Phase {
    kBegin,
    kAwaitDigests,
    kRanges,  // The next range.
    kHash,    // The names here of the range in front.
    kAwaitEntries,
    kJudgeOwn,         // Names here of which the peer does not speak.
    kApply,            // Changes are being applied.
    kAwaitEntriesEnd,  // All of the range are; its stream is to end.
    kAwaitDigestsEnd,  // All ranges are compared.
    kOver,
  };

  // One of the two streams.
  class Flow : public DigestListener {
   public:
    explicit Flow(Comparison* owner) : owner_(owner) {}
    void OnBatch(DigestBatch batch) override {
      // It may end, and its owner let go, before the call returns.
      owner_->shared_from_this()->Arrived(std::move(batch));
    }
    void OnEnd(const absl::Status& status) override {
      owner_->shared_from_this()->FlowEnded(this, status);
    }

    std::shared_ptr<PeerStream> stream;  // Under the owner's lock.
    bool open = false;                   // The same. Until OnEnd().

   private:
    Comparison* const owner_;
  };

  void Arrived(DigestBatch batch) ABSL_LOCKS_EXCLUDED(mu_);
  void FlowEnded(Flow* flow, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Runs steps on io() if there is something to do and nobody does it; ends the
  // comparison if there never will be.
  void Schedule() ABSL_LOCKS_EXCLUDED(mu_);
  bool IsReady() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Step(Phase phase) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Begin() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status TakeRanges() ABSL_LOCKS_EXCLUDED(mu_);
  void NextRange() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status HashPage() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status JudgeEntries() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a change of the peer that is not in the logs here is left to them.
  bool IsUnderWay(const ReplicatedChange& theirs);
  absl::Status JudgeEntry(const ReplicatedChange& theirs,
                          const std::vector<LogRange>& logs_here)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status JudgeOwnPage() ABSL_LOCKS_EXCLUDED(mu_);
  void ApplyWanted() ABSL_LOCKS_EXCLUDED(mu_);
  void Applied(const std::string& name, const LogPosition& change,
               const absl::StatusOr<Committed>& committed)
      ABSL_LOCKS_EXCLUDED(mu_);
  void EntriesDone() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Open(Flow* flow, const DigestWish& wish)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Ask(Flow* flow, Phase phase) ABSL_LOCKS_EXCLUDED(mu_);
  void SetPhase(Phase phase) ABSL_LOCKS_EXCLUDED(mu_);
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Adds to what was found, and takes `names` from the allowance.
  void Found(const ComparisonReport& found, size_t names = 0)
      ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<StorePath> path_;
  const std::shared_ptr<MissingContents> missing_;
  PeerTransport* const transport_;
  const Peer peer_;
  const uint8_t store_path_;
  const NamesUnderWay waited_;
  Clock* const clock_;
  const std::function<void()> wake_;

  // ---- Of the step that runs; one at a time.
  std::vector<LogRange> mine_;         // When it began.
  std::vector<LogRange> theirs_;       // As the entries' stream says.
  std::deque<DigestRange> ranges_;     // Still to be compared.
  bool last_ranges_ = false;           // None follow.
  std::string from_;                   // Where the range in front begins.
  std::string cursor_;                 // Within it.
  RangeHash hash_;                     // Of what is before the cursor.
  std::string entries_until_;          // What the batch of entries goes up to.
  bool last_entries_ = false;          // None follow in this range.
  std::string entries_from_;           // And begins behind.
  std::set<std::string> their_names_;  // In the batch.
  std::vector<ReplicatedChange> wanted_;
  NamesUnderWay under_way_;
  int conflicts_said_ = 0;

  mutable Mutex mu_;
  Flow digests_{this};
  Flow names_{this};
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kBegin;
  absl::optional<DigestBatch> arrived_ ABSL_GUARDED_BY(mu_);
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool running_ ABSL_GUARDED_BY(mu_) = false;   // On io(), or about to be.
  int64_t allowance_ ABSL_GUARDED_BY(mu_) = 0;  // Names.
  size_t applying_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  absl::Duration heard_ ABSL_GUARDED_BY(mu_);
  ComparisonReport report_ ABSL_GUARDED_BY(mu_);
  absl::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_COMPARISON_H_
