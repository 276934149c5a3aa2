// Programs that use a cluster while it is hurt: many threads put, read and
// delete through the client library, and one more reads at members directly.
// Every intent and every answer goes to the oracle; everything that is read is
// compared.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_CLIENT_LOAD_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_CLIENT_LOAD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
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
#include "lib/base/mutex.h"

namespace cairn {
namespace testing {

// Whether a caller may see that while members are killed, stopped, cut off or
// full.
bool MayHappen(const absl::Status& status);

// The same for a change that is to be made at one member. All of it is worth
// another call.
bool MayHappenToAChange(const absl::Status& status);

// Any level, number of replicas and policy.
client::Durability DrawDurability(std::mt19937_64* random);

struct ClientLoadOptions {
  std::vector<std::string> trackers = {};
  int callers = 8;
  uint64_t seed = 1;

  // Of each caller between two calls, so that what is to be verified in the end
  // stays within bounds.
  absl::Duration pause = absl::Milliseconds(15);

  int64_t small_bytes_max = 48 << 10;  // Small ones more often.
  int large_one_in = 40;               // Of the puts, above 1 MiB.
  int64_t large_bytes_max = 3 << 20;
};

struct LoadCounts {
  int64_t puts = 0;  // That were acknowledged, the large ones too.
  int64_t large_puts = 0;
  int64_t deletes = 0;
  int64_t reads = 0;         // Through the library, with the right bytes.
  int64_t member_reads = 0;  // At a member.
  int64_t failed = 0;        // Calls without an answer that counts.
};

// Something that may be right or wrong, depending on what was lost when.
struct Suspicion {
  std::string file_id;
  int64_t line = 0;  // Of the oracle, when it was seen.
  absl::Status seen;
};

// Construct, Start(), then Stop() before it is destroyed.
class ClientLoad {
 public:
  // `oracle` is borrowed. Errors of Client::Connect().
  static absl::StatusOr<std::unique_ptr<ClientLoad>> Connect(
      ClientLoadOptions options, Oracle* oracle);
  ~ClientLoad();

  ClientLoad(const ClientLoad&) = delete;
  ClientLoad& operator=(const ClientLoad&) = delete;

  // Members are also read directly.
  void AddMember(const std::string& address) ABSL_LOCKS_EXCLUDED(mu_);

  // May be called again after Stop().
  void Start() ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until so many changes more were acknowledged, or for `timeout`.
  void AwaitAcknowledged(int64_t changes, absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for calls that are under way. OK if all that happened is what may
  // happen while members are hurt; else the first thing that may not.
  absl::Status Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // Puts one file, for a preparation.
  absl::StatusOr<std::string> PutOne(int64_t size_bytes, uint64_t seed);

  // This file's copy at some member is damaged: nobody may be able to read it
  // for a while.
  void ExpectDamaged(const std::string& file_id) ABSL_LOCKS_EXCLUDED(mu_);

  // After Stop().
  std::vector<Suspicion> suspicions() const ABSL_LOCKS_EXCLUDED(mu_);

  LoadCounts counts() const ABSL_LOCKS_EXCLUDED(mu_);

  client::Client* client() { return client_.get(); }

 private:
  struct StoredFile {
    std::string file_id;
    uint64_t content_seed = 0;
    int64_t size_bytes = 0;
  };
  using Random = std::mt19937_64;

  ClientLoad(ClientLoadOptions options, Oracle* oracle,
             std::unique_ptr<client::Client> client);

  void Run(uint64_t seed) ABSL_LOCKS_EXCLUDED(mu_);
  void RunReader(uint64_t seed) ABSL_LOCKS_EXCLUDED(mu_);
  void Put(Random* random) ABSL_LOCKS_EXCLUDED(mu_);
  void Read(Random* random) ABSL_LOCKS_EXCLUDED(mu_);
  void ReadAtMember(Random* random) ABSL_LOCKS_EXCLUDED(mu_);
  void Delete(Random* random) ABSL_LOCKS_EXCLUDED(mu_);

  // A file that was stored and that nobody deletes yet; nullopt: none.
  absl::optional<StoredFile> Draw(Random* random) ABSL_LOCKS_EXCLUDED(mu_);

  // False when it is time to stop.
  bool Pause() ABSL_LOCKS_EXCLUDED(mu_);

  // Books a read that failed.
  void ReadFailed(const std::string& file_id, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Count(int64_t LoadCounts::*count) ABSL_LOCKS_EXCLUDED(mu_);
  void Violation(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const ClientLoadOptions options_;
  Oracle* const oracle_;
  const std::unique_ptr<client::Client> client_;
  std::vector<std::thread> threads_;

  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int starts_ ABSL_GUARDED_BY(mu_) = 0;
  LoadCounts counts_ ABSL_GUARDED_BY(mu_);
  std::vector<StoredFile> files_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> deleting_ ABSL_GUARDED_BY(mu_);  // Begun or done.
  std::set<std::string> damaged_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<StorageStub>> members_ ABSL_GUARDED_BY(mu_);
  std::vector<Suspicion> suspicions_ ABSL_GUARDED_BY(mu_);
  absl::Status violation_ ABSL_GUARDED_BY(mu_);
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_CLIENT_LOAD_H_
