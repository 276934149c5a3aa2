// What a store path must hold of files whose content changes: the oracle of the
// crash tests for appenders.
//
//   change      0         1          2           3
//   state   0 ─────▶ 1 ─────▶ 2 ──────▶ 3 ──────▶ 4
//         absent  created   appended  truncated  deleted
//                    ▲                   ▲
//                    synced              answered
//
// Changes of one file follow on each other, so what is found must be one of its
// states: not before the last one that was answered, and after a power cut not
// before the last one that was answered as synced. What was found is where it
// goes on from.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_APPENDERS_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_APPENDERS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/uuid.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/testing/expected_files.h"

namespace cairn {
namespace storage {

// Not thread-safe. Methods that check report a test failure.
class ExpectedAppender {
 public:
  enum class Kind { kCreate, kAppend, kModify, kTruncate, kDelete };
  struct Change {
    Kind kind = Kind::kCreate;
    int64_t offset = 0;  // kModify, kTruncate.
    std::string data;    // kCreate, kAppend, kModify.
    Uuid request_id;     // Nil for none, or if it was forgotten.

    enum class Outcome { kUnderWay, kDone, kUnknown, kRefused };
    Outcome outcome = Outcome::kUnderWay;
    absl::optional<Version> version;  // That it gave the file, if known.
  };

  explicit ExpectedAppender(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  // A change is about to be submitted, behind those that are under way; several
  // at once only if they are appends.
  Change* Begin(Change change);
  void End(Change* change, const absl::StatusOr<Committed>& answer);

  // The call of the last change is repeated, and was answered.
  void CheckRepeated(const absl::StatusOr<Committed>& answer);

  // The next process is about to look.
  void OnEnding(Ending ending);

  // What the next process, or this one, shows: it must be allowed, and is what
  // the file is from then on. `content` is unset if it could not be read since
  // it is not here.
  struct Seen {
    Presence presence = kAbsent;
    FileInfo info;
    absl::optional<std::string> content;
  };
  void OnSeen(const Seen& seen);

  // A rebuild has forgotten which request did what.
  void ForgetRequests();

  // Nothing is under way, and the last change was answered or seen.
  bool is_settled() const;

  // Settled, there, and with a content.
  bool is_present() const;
  bool is_deleted() const;

  // Of the last state; only when settled.
  const std::string& content() const { return content_; }

  // The last change; null if there is none.
  const Change* last() const {
    return changes_.empty() ? nullptr : &changes_.back();
  }

 private:
  struct State {
    Presence presence = kAbsent;
    std::string content;
    absl::optional<Version> version;
  };
  static void Apply(const Change& change, State* state);

  // Forgets changes that were refused.
  void DropRefused();

  const std::string name_;

  // Those that led to the oldest state that is still possible are in `base_`.
  State base_;
  std::deque<Change> changes_;
  size_t done_ = 0;    // At least so many of them are made,
  size_t synced_ = 0;  // and so many survive a power cut.
  bool ever_synced_ = false;
  bool lost_ = false;  // A power cut took content that was not synced.
  std::string content_;

  bool on_disk_ = false;  // As in ExpectedFiles.
  bool seen_ = false;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_EXPECTED_APPENDERS_H_
