// Programs that change files while a cluster is hurt: each owns a few appenders
// and appends to them, modifies them, cuts them off and describes them, one
// change after the other. A change that is not answered is asked for again,
// with its request_id, until it is: so what each file must be is known exactly.
//
//   ChangeLoad load(options, oracle);
//   load.Start() … load.Stop() … load.Settle() … load.CheckAt(&member)
//
// Every change is to be at two members before it is acknowledged, so nothing
// that is wiped takes it along.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_CHANGE_LOAD_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_CHANGE_LOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "integration_tests/mini_cluster/oracle.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/attributes/attributes.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace testing {

struct ChangeLoadOptions {
  std::vector<std::string> trackers = {};
  int writers = 3;
  int files_of_each = 2;
  uint64_t seed = 1;

  // Of each writer between two changes.
  absl::Duration pause = absl::Milliseconds(25);

  int64_t change_bytes_max = 40 << 10;
  int64_t file_bytes_max = 2 << 20;  // Above, a file is cut off.
};

struct ChangeCounts {
  int64_t appends = 0;  // That were acknowledged; so the others.
  int64_t modifications = 0;
  int64_t truncations = 0;
  int64_t descriptions = 0;  // Attributes.
  int64_t repeated = 0;      // Calls without an answer, asked for again.
  int64_t checked = 0;       // Copies that were right in the end.
};

// Construct, Start(), then Stop() before it is destroyed. For one thread, but
// for its own.
class ChangeLoad {
 public:
  // `oracle` is borrowed; what happens is remarked there. Errors of
  // Client::Connect().
  static absl::StatusOr<std::unique_ptr<ChangeLoad>> Connect(
      ChangeLoadOptions options, Oracle* oracle);
  ~ChangeLoad();

  ChangeLoad(const ChangeLoad&) = delete;
  ChangeLoad& operator=(const ChangeLoad&) = delete;

  // May be called again after Stop().
  void Start() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for calls that are under way. OK if all that happened may happen
  // while members are hurt; else the first thing that may not.
  absl::Status Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // After Stop(), with every member up: asks for what is not answered until it
  // is.
  absl::Status Settle() ABSL_LOCKS_EXCLUDED(mu_);

  // Files that it made and knows of.
  std::vector<std::string> file_ids() const;

  // After Settle(): reads each file at a member, which may be the only one that
  // is up.
  //   DATA_LOSS  one is something else; the message says what.
  absl::Status CheckAt(StorageStub* member) ABSL_LOCKS_EXCLUDED(mu_);

  ChangeCounts counts() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class Kind { kCreate, kAppend, kModify, kTruncate, kDescribe };

  // One change, until it is answered.
  struct Change {
    Kind kind = Kind::kCreate;
    Uuid request;
    bool synced = false;
    std::string content;
    int64_t offset = 0;
    AttributeChange attributes;
  };
  struct OwnedFile {
    std::string file_id;  // Empty until it is made.
    std::string content;
    Attributes attributes;
    absl::optional<Change> open;
  };
  struct Writer {
    std::mt19937_64 random;
    std::vector<OwnedFile> files;
  };

  ChangeLoad(ChangeLoadOptions options, Oracle* oracle,
             std::unique_ptr<client::Client> client);

  void Run(Writer* writer) ABSL_LOCKS_EXCLUDED(mu_);
  Change Draw(Writer* writer, const OwnedFile& file);

  // Asks for the open change once. True if it is answered.
  absl::StatusOr<bool> Ask(OwnedFile* file) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Call(OwnedFile* file);

  // Makes of the file what the change makes of it.
  void Apply(OwnedFile* file) ABSL_LOCKS_EXCLUDED(mu_);

  // False when it is time to stop.
  bool Pause() ABSL_LOCKS_EXCLUDED(mu_);

  const ChangeLoadOptions options_;
  Oracle* const oracle_;
  const std::unique_ptr<client::Client> client_;
  std::vector<Writer> writers_;  // Each is its thread's, while that runs.
  std::vector<std::thread> threads_;

  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  ChangeCounts counts_ ABSL_GUARDED_BY(mu_);
  absl::Status violation_ ABSL_GUARDED_BY(mu_);
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_CHANGE_LOAD_H_
