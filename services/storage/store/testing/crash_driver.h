// Drives a store path through lives that end badly, and checks after each that
// it kept its promises.
//
//   Open ─▶ Verify ─▶ Work ─▶ End(killed, power cut or stopped) ─▶ Open …
//
// Everything is drawn from one seed: options, sizes, order, endings. Threads of
// the engine make runs of one seed differ in timing, but hardly in kind.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_CRASH_DRIVER_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_CRASH_DRIVER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "services/storage/core/store_path.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/options.h"
#include "services/storage/store/testing/expected_appenders.h"
#include "services/storage/store/testing/expected_files.h"

namespace cairn {
namespace storage {

// Used by one thread. Failures are reported as those of the running test.
class CrashDriver {
 public:
  explicit CrashDriver(uint64_t seed);
  ~CrashDriver();

  CrashDriver(const CrashDriver&) = delete;
  CrashDriver& operator=(const CrashDriver&) = delete;

  CrashableFileSystem& fs() { return fs_; }
  FakeClock& clock() { return clock_; }
  StorePathOptions& options() { return options_; }
  ExpectedFiles& expected() { return expected_; }
  Engine* engine() { return engine_.get(); }

  // At most so many changes wait for an answer at once; 1 makes a script that
  // is the same every time but for the index's own threads.
  void set_burst_max(int changes) { burst_max_ = changes; }

  // Opens the path. Errors are the caller's to judge.
  absl::Status Open();

  // Reads everything and compares it with what is expected; afterwards every
  // state is known. The path must be open and the disk well.
  void Verify();

  // Does `steps` random things. Ends early when the disk has stopped.
  void Work(int steps);

  // One thing each; an answer that is not OK is taken into account.
  void PutSmall(int64_t size, Durability durability);
  void PutLarge(int64_t size, Durability durability);
  void Delete(Durability durability);

  // These do nothing if the path keeps nothing of what is deleted.
  void Undelete(Durability durability);
  void PurgeDeleted(Durability durability);
  void DropDeleted();

  // A copy of a file with a segment of its own, if there is one. Waits for the
  // answer.
  void CopyLarge(Durability durability);
  void Retry();
  void CreateAppender(int64_t size, Durability durability);

  // Some appends at once, or one other change of an appender. Waits for the
  // answers.
  void UpdateAppender(Durability durability);
  void DeleteAppender(Durability durability);
  void Compact(double dead_share_min);

  // Waits until everything that was submitted is answered.
  void WaitForAnswers() ABSL_LOCKS_EXCLUDED(mu_);

  // Answers so far that were OK, and that were not.
  int64_t acknowledged() const { return acknowledged_; }
  int64_t refused() const { return refused_; }

  // Ends the process, with whatever is under way.
  void End(Ending ending);

  // The process ended while it was opening the path: `engine()` is null.
  void EndWhileOpening(Ending ending);

  // Makes a new index of the segments; the path must not be open.
  absl::Status Rebuild();

  uint64_t Random(uint64_t n) { return rng_() % n; }

 private:
  struct Answer {
    ExpectedFile* file = nullptr;
    enum class Kind { kPut, kDelete, kPurge, kUndelete };
    Kind kind = Kind::kPut;
    ExpectedAppender* appender = nullptr;  // In place of `file`.
    ExpectedAppender::Change* change = nullptr;
    absl::optional<absl::StatusOr<Committed>> outcome;
  };
  struct HeldFile {
    const ExpectedFile* file;
    std::unique_ptr<OpenFile> open;
  };

  ExpectedFile NewFile(int64_t size);
  CommitDone Await(ExpectedFile* file, Answer::Kind kind, Durability durability)
      ABSL_LOCKS_EXCLUDED(mu_);
  CommitDone AwaitChange(ExpectedAppender* file,
                         ExpectedAppender::Change* change,
                         Durability durability) ABSL_LOCKS_EXCLUDED(mu_);
  CommitDone AnswerTo(Answer answer, Durability durability)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SubmitPut(ExpectedFile* file, Durability durability);
  void SubmitUpload(ExpectedFile* file, Durability durability);
  void TakeAnswer(const Answer& answer);
  int64_t DrawSize(int64_t max);
  Durability DrawDurability();

  void ReadSomething();
  void ReadRange(const ExpectedFile& file, OpenFile* open);
  void ReadHeld();
  void CompactAside();
  void JoinCompaction();
  void CheckLogHead();
  void VerifyFile(ExpectedFile* file);
  void SubmitChange(ExpectedAppender* file, ExpectedAppender::Change change,
                    Durability durability);
  ExpectedAppender* PickAppender();
  Uuid DrawRequestId();

  // Returns what is there.
  Presence VerifyAppender(ExpectedAppender* file);

  std::mt19937_64 rng_;
  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  ExpectedFiles expected_;
  std::deque<ExpectedAppender> appenders_;
  int burst_max_;
  int boot_ = 1;
  bool clean_ = true;  // How the last process ended.
  uint64_t next_name_ = 1;
  int64_t acknowledged_ = 0;
  int64_t refused_ = 0;

  std::unique_ptr<Engine> engine_;
  std::vector<HeldFile> held_;
  std::thread compaction_;

  // The head of the log when it was last looked at.
  Uuid incarnation_;
  uint32_t epoch_ = 0;
  uint64_t last_sequence_ = 0;

  Mutex mu_;
  CondVar answered_;
  std::vector<std::unique_ptr<Answer>> answers_ ABSL_GUARDED_BY(mu_);
  size_t unanswered_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_CRASH_DRIVER_H_
