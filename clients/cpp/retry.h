// What to do after a failure: which may be repeated, where, and when. Pure.

#ifndef CAIRN_CLIENTS_CPP_RETRY_H_
#define CAIRN_CLIENTS_CPP_RETRY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace cairn {
namespace client {

// What an operation does with the file.
enum class Intent {
  kCreate,  // Any node of the group will do.
  kChange,  // Of a file that exists: its members only.
  kRead,
};

struct RetryAdvice {
  // False: the failure is final.
  bool repeat = false;

  // Not at the same node, if there is another one.
  bool elsewhere = false;

  // The same node will fail again however long one waits: without another one
  // the failure is final.
  bool only_elsewhere = false;

  // Once: a second failure of the kind is final.
  bool once = false;

  // The node is well and has too much to do, or to catch up: that counts far
  // less than a failure, so that the deadline decides and not the number of
  // attempts.
  bool patient = false;

  // The node could not be reached or went away: others should avoid it for a
  // while.
  bool node_is_gone = false;
};

// Every operation may be repeated, because reads change nothing and changes
// carry a request_id; so the failure alone decides.
RetryAdvice AdviceFor(const absl::Status& failure, Intent intent);

// Waits between repetitions: `first`, then 1.6-fold each time up to `max`, each
// drawn from the upper half of its value.
class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration max) : next_(first), max_(max) {}

  absl::Duration Next();

 private:
  absl::Duration next_;
  absl::Duration max_;
};

// UUIDs of nodes.
using Tried = std::vector<std::string>;

struct RetryOptions {
  int attempts_max = 8;
  absl::Duration backoff = absl::Milliseconds(50);
  absl::Duration backoff_max = absl::Seconds(3);
};

// One operation's way through its attempts: every node that could do it is
// tried at once, then a wait, then all again. Not thread-safe.
//
//   choose a node, not in tried() ──▶ attempt ──▶ AfterFailure ─▶ true: choose
//                  └─ there is none ──▶ AfterNoRoute ─▶ wait, then choose
class RetryState {
 public:
  explicit RetryState(const RetryOptions& options)
      : options_(options), backoff_(options.backoff, options.backoff_max) {}

  // Nodes not to choose now.
  const Tried& tried() const { return tried_; }

  // An attempt at `node` failed with `status`. False: give up, with failure().
  bool AfterFailure(const absl::Status& status, const RetryAdvice& advice,
                    absl::string_view node_uuid);

  // No node could be chosen, and choosing said `status`. How long to wait
  // before choosing again; nullopt: give up, with failure().
  absl::optional<absl::Duration> AfterNoRoute(const absl::Status& status);

  // The operation moved on: what failed before does not count any more.
  void MovedOn();

  const absl::Status& failure() const { return failure_; }

 private:
  RetryOptions options_;
  Backoff backoff_;
  int attempts_ = 0;          // That failed, without the patient ones.
  int patient_attempts_ = 0;  // That failed and were bidden to come again.
  bool had_its_once_ = false;
  absl::Status failure_;  // The newest.
  Tried tried_;           // Since the last wait.
  Tried hopeless_;        // Of them, those that will fail whenever asked.
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_RETRY_H_
