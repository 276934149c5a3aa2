// What becomes of one file: a model, without clocks, clusters or calls.
//
//              ┌──append, describe, let expire──┐
//              ▼                                │
//   none ─make──▶ there ────────────────────────┘
//                 │   ▲ ▲
//            delete   │ └─make: a derived file, whose name is used again
//                 ▼   │undelete
//               deleted, kept ──purge──▶ deleted
//   there (an appender) ──seal──▶ sealed: another file has all that it had
//
// A call that is not answered may have changed the file or not, and what one
// disk alone has may go with it: so a life has what the file is, as far as
// answers say, and all that it may be.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_FILE_LIFE_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_FILE_LIFE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/types.h"
#include "lib/attributes/attributes.h"
#include "lib/base/error_reason.h"

namespace cairn {
namespace testing {

struct FileState {
  enum class Standing { kNone, kThere, kDeleted, kSealed };

  Standing standing = Standing::kNone;
  bool kept = false;  // It is deleted, and can be brought back.

  // Of one that is there or kept.
  client::FileKind kind = client::FileKind::kNormal;
  absl::Cord content;
  Attributes attributes;
  absl::optional<absl::Time> expire_time;

  // It expires within seconds, at a time that the node has chosen: nothing more
  // is done to it, and in the end it is gone.
  bool expiring = false;

  // If it is sealed and an answer said so: the file that it became.
  std::string sealed_as;

  bool is_there() const { return standing == Standing::kThere; }
};

struct FileChange {
  enum class Kind {
    kMake,    // All of `made`.
    kAppend,  // `appended`.
    kDescribe,
    kSetExpiry,  // `expire_time`, or `expiring`; neither: never.
    kDelete,
    kPurge,
    kUndelete,
    kSeal,
  };

  Kind kind = Kind::kMake;
  FileState made;
  absl::Cord appended;
  AttributeChange description;
  absl::optional<absl::Time> expire_time;
  bool expiring = false;
};

// `append`.
const char* NameOf(FileChange::Kind kind);

// For people: what it is, without its bytes.
std::string Describe(const FileState& state);

// Why a change must be refused; kUnspecified: it must not. Not of a file that
// is expiring, which depends on the time.
ErrorReason Refusal(const FileState& before, const FileChange& change);

// What a change that is not refused makes of it.
FileState After(FileState before, const FileChange& change);

// For one thread at a time.
class FileLife {
 public:
  // What the file was from an answer on.
  struct Stage {
    FileState state;
    uint32_t replicas = 0;      // Members that had it by then,
    uint32_t taken_by = 0;      // this one among them: its node number.
    int64_t asked_line = 0;     // Of the oracle, when it was asked for,
    int64_t answered_line = 0;  // and when there was an answer.
  };

  struct Answered {
    uint32_t replicas = 0;
    uint32_t taken_by = 0;
    int64_t line = 0;
  };

  // As far as answers say.
  const FileState& now() const { return stages_.back().state; }

  // Somebody asks for a change, which now() does not refuse and of which no
  // answer has come yet.
  void Ask(FileChange change, int64_t line);
  bool is_open() const { return open_.has_value(); }
  const FileChange& open() const { return *open_; }

  // The open change was made, or surely was not. `learned` may add to the new
  // state what only the answer says; may be null.
  void Answer(const Answered& answered,
              const std::function<void(FileState*)>& learned = nullptr);
  void Refuse() { open_.reset(); }

  // A change may have been made by somebody who had not heard of the newest
  // ones: that one counts then.
  void Cloud() { clouded_ = true; }

  // Everything that it may be when all is healed and at rest. `may_be_lost`
  // says so of a stage.
  std::vector<FileState> MayBe(
      const std::function<bool(const Stage&)>& may_be_lost) const;

  // All members have it as this.
  void Settle(FileState state);

 private:
  std::vector<Stage> stages_ = {Stage()};
  absl::optional<FileChange> open_;
  int64_t asked_line_ = 0;
  bool clouded_ = false;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_FILE_LIFE_H_
