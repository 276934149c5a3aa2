// Programs that do everything to files that can be done to them, while the
// cluster is hurt: make them in every way (put, share, derive, copy, append, in
// parts), describe them, let them expire, delete, purge and undelete them, seal
// appenders; one by one and many in one message.
//
//   writer ─▶ DrawRound ─▶ Ask ──▶ members and the cluster, through proxies
//                 ▲          │
//                 └─ OwnFile ◀── TakeAnswer      (file_life.h: what it may be)
//
// One change of a file follows on the other, and all are asked of the same
// member, its home: what is asked of another one may be done to what the file
// was before, and counts as a whole then. A file gets another home only when
// that one has it as it is. A change without an answer is asked for again, with
// its request_id, or left as it is. So all that a file may be is known.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_LOAD_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_LOAD_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "clients/cpp/client.h"
#include "integration_tests/chaos/file_life.h"
#include "integration_tests/chaos/life_calls.h"
#include "integration_tests/chaos/life_draw.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "lib/base/mutex.h"

namespace cairn {
namespace testing {

struct LifeLoadOptions {
  std::vector<std::string> trackers = {};
  std::string folder = {};  // For contents that are sent in parts.
  int writers = 4;          // The last one mostly sends in parts.
  uint64_t seed = 1;

  // Of each writer between two rounds.
  absl::Duration pause = absl::Milliseconds(20);

  // That each writer makes between Start() and Stop(), without what seals and
  // copies make of them.
  int files_max = 70;
};

// One file of a writer.
struct OwnFile {
  std::string label;  // `2.17`, for people.
  int writer = 0;
  std::string file_id;  // Empty until it is known.
  uint32_t store_path = 0;
  int home = -1;  // Of the members; -1: whoever takes it.
  FileLife life;
  LifeCall call;           // Of the open change, or the last one.
  bool set_aside = false;  // Nothing more is done to it.
  int wipes_seen = 0;      // Of its path at its home; without a home: all.

  // Derived from it; and whether its open change is that of its master, which
  // is deleted with all of them.
  std::vector<OwnFile*> derived;
  OwnFile* master = nullptr;
  bool follows = false;

  // What it is to be a copy of, until it is; and such copies of this file,
  // which stays as it is as long as there are any.
  OwnFile* source = nullptr;
  int copies_open = 0;
};

struct LifeCounts {
  std::map<std::string, int64_t> done;  // Changes that were acknowledged.
  int64_t refused = 0;                  // As they had to be.
  int64_t reads = 0;
  int64_t moves = 0;     // To another home.
  int64_t repeated = 0;  // Calls without an answer.
};

// Construct, Start(), then Stop() before it is destroyed. For one thread, but
// for its own.
class LifeLoad {
 public:
  // `oracle` is borrowed; what is asked and answered is remarked there. Errors
  // of Client::Connect().
  static absl::StatusOr<std::unique_ptr<LifeLoad>> Connect(
      LifeLoadOptions options, Oracle* oracle);
  ~LifeLoad();

  LifeLoad(const LifeLoad&) = delete;
  LifeLoad& operator=(const LifeLoad&) = delete;

  // `address`: as clients reach it.
  absl::Status AddMember(const std::string& address, uint32_t node_number)
      ABSL_LOCKS_EXCLUDED(mu_);

  // May be called again after Stop().
  void Start() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for calls that are under way. OK if all that happened may happen
  // while members are hurt; else the first thing that may not.
  absl::Status Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // A store path is about to be wiped: what is asked there from now on may be
  // done to what a file was before.
  void Forsake(int member, uint32_t store_path) ABSL_LOCKS_EXCLUDED(mu_);

  // ---- After Stop().

  std::vector<OwnFile*> files();

  // Follows the cluster.
  client::Client* client() { return client_.get(); }
  client::Client* member_client(int member) ABSL_LOCKS_EXCLUDED(mu_);
  int members() const ABSL_LOCKS_EXCLUDED(mu_);

  // The open change of the file was made, and this is the answer.
  void TakeAnswer(OwnFile* file, const LifeAnswer& answer)
      ABSL_LOCKS_EXCLUDED(mu_);

  // All members have the file as this.
  void Settle(OwnFile* file, FileState state, bool set_aside)
      ABSL_LOCKS_EXCLUDED(mu_);

  LifeCounts counts() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Member {
    std::unique_ptr<client::Client> client;
    std::unique_ptr<client::Client> once;  // Repeats nothing.
    uint32_t node_number = 0;
  };
  struct Writer {
    Writer(int index, uint64_t seed) : index(index), draw(seed) {}

    const int index;
    LifeDraw draw;
    std::deque<OwnFile> files;
    int made = 0;  // Since Start().
  };

  LifeLoad(LifeLoadOptions options, Oracle* oracle,
           std::unique_ptr<client::Client> client);

  void Run(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);

  // ---- What is done next. Each opens changes; the result is to be asked for.
  std::vector<OwnFile*> DrawRound(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<OwnFile*> DrawMany(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  OwnFile* DrawNew(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  OwnFile* DrawDerived(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  OwnFile* DrawCopy(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  OwnFile* DrawChange(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  void TakeFollowers(OwnFile* master);

  // Any of those to which something can be done; null: none.
  static OwnFile* AnyIdle(Writer* writer);
  OwnFile* NewFile(Writer* writer, int home, uint32_t store_path)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Open(Writer* writer, OwnFile* file, FileChange change);

  // ---- Doing it. An error is a violation.
  absl::Status Ask(Writer* writer, const std::vector<OwnFile*>& files)
      ABSL_LOCKS_EXCLUDED(mu_);
  void TakeMade(OwnFile* file, const LifeAnswer& answer)
      ABSL_LOCKS_EXCLUDED(mu_);
  void TakeSealed(const OwnFile& appender, const FileState& before,
                  const FileLife::Answered& answered) ABSL_LOCKS_EXCLUDED(mu_);
  uint32_t NodeNumberOf(int member) const ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status TakeFailure(Writer* writer, OwnFile* file,
                           const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Probe(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Read(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  void Move(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);

  client::Client* ClientOf(const OwnFile& file) ABSL_LOCKS_EXCLUDED(mu_);
  int WipesOf(int home, uint32_t store_path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Whether its home has lost it since; nothing more is done to it then.
  bool IsForsaken(OwnFile* file) ABSL_LOCKS_EXCLUDED(mu_);

  // False when it is time to stop.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mu_);
  int64_t Say(absl::string_view text);
  void Count(int64_t LifeCounts::*count) ABSL_LOCKS_EXCLUDED(mu_);

  const LifeLoadOptions options_;
  Oracle* const oracle_;
  const std::unique_ptr<client::Client> client_;
  std::deque<Writer> writers_;  // Each is its thread's, while that runs.
  std::vector<std::thread> threads_;

  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Member> members_ ABSL_GUARDED_BY(mu_);  // Only grows.
  std::map<std::pair<int, uint32_t>, int> wipes_ ABSL_GUARDED_BY(mu_);
  LifeCounts counts_ ABSL_GUARDED_BY(mu_);
  absl::Status violation_ ABSL_GUARDED_BY(mu_);
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_LOAD_H_
