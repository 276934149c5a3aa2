// What the other members of the group have of a file, asked of all of them at
// once.
//
//   Ask ─▶ a Fetch of each, of what it knows alone ─▶ answers, each once
//                                       Expire, Stop ─┘ or nobody there
//
// Time is passed in (Clock::Monotonic()). Thread-safe, and nothing blocks;
// callbacks run in the call that completes them, with no lock held.

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPLICA_SURVEY_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPLICA_SURVEY_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "lib/base/mutex.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/peer_transport.h"

namespace cairn {
namespace storage {

// What a member has of a file, next to the version that was asked about.
enum class ReplicaState : uint8_t {
  kCurrent = 1,         // That version, with its content.
  kContentMissing = 2,  // That version; its content is still to come.
  kOtherVersion = 3,    // It is behind, or ahead.
  kAbsent = 4,          // Nothing, or that the file was deleted.
  kUnreachable = 5,     // It could not be asked.
};

// Of a member that knows the file in this version, not deleted.
ReplicaState StateOfKnown(const Version& version, bool content_missing,
                          const Version& wanted);

struct Replica {
  Peer peer;
  ReplicaState state = ReplicaState::kUnreachable;
};

// Of one store path.
class ReplicaSurveys {
 public:
  // Runs once, with the peers in the order in which they were named.
  using Done = absl::AnyInvocable<void(std::vector<Replica>)>;

  // `transport` is borrowed, until every stream has ended.
  ReplicaSurveys(uint8_t store_path, PeerTransport* transport)
      : store_path_(store_path), transport_(transport) {}
  ~ReplicaSurveys();  // Stop().
  ReplicaSurveys(const ReplicaSurveys&) = delete;
  ReplicaSurveys& operator=(const ReplicaSurveys&) = delete;

  // Asks `peers` what they have of the file. Who has not answered at `deadline`
  // is unreachable.
  //   RESOURCE_EXHAUSTED  OVERLOADED: too many are being asked about files;
  //                       `done` does not run.
  absl::Status Ask(std::vector<Peer> peers, absl::string_view name,
                   const Version& version, absl::Duration deadline, Done done)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Gives up what has waited long enough.
  void Expire(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);

  // Gives up everything; later calls are answered at once.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Survey;
  struct Open {
    absl::Duration deadline;
    std::shared_ptr<Survey> survey;
  };

  void DropAnswered() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint8_t store_path_;
  PeerTransport* const transport_;

  Mutex mu_;
  std::list<Open> open_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPLICA_SURVEY_H_
