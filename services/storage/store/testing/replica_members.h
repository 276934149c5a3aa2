// Store paths of one group, each in a file system in memory, and how one takes
// over what another took: without the streams that members have between them.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_REPLICA_MEMBERS_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_REPLICA_MEMBERS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

// A path of one member.
class Member {
 public:
  // `seed` draws what a power cut leaves.
  explicit Member(uint32_t number, uint64_t seed = 1);

  void Open();
  void KillAndOpen();
  void PowerCutAndOpen();
  void Rebuild();

  Engine* path() { return path_.get(); }
  std::shared_ptr<StorePath> shared_path() { return path_; }
  ReplicaStore* replica() { return path_->replica(); }
  LogRange own_log() { return replica()->Logs().front(); }
  FakeClock* clock() { return &clock_; }
  CrashableFileSystem* fs() { return &fs_; }
  StorePathOptions* options() { return &options_; }

  // How far it has that log; all 0 if it does not know it.
  LogRange RangeOf(const LogId& id);

 private:
  CrashableFileSystem fs_;
  FakeClock clock_;
  StorePathOptions options_;
  std::shared_ptr<Engine> path_;
};

// What may happen to a path between two changes.
enum class Between { kNothing, kStop, kKill, kCheckpoint, kPowerCut, kRebuild };
inline constexpr Between kAllBetween[] = {
    Between::kNothing,    Between::kStop,     Between::kKill,
    Between::kCheckpoint, Between::kPowerCut, Between::kRebuild};

void Happen(Between between, Member* member);

// Gives back what nothing refers to; no segment is so dead that it is moved.
void GiveBack(Member* member);

void ExpectFile(Member* member, const std::string& name,
                const std::string& content);

absl::StatusOr<Committed> ApplyAndWait(Member* to, ReplicatedChange change);

// Brings the content of a file that `to` has without it.
absl::StatusOr<Committed> FetchContent(Member* from, Member* to,
                                       const std::string& name);

// Applies all of `log`, or of `from`'s own log, that `from` has and `to` has
// not, and what contents are missing then. Fails the test on an error.
void Copy(Member* from, Member* to, const LogId& log);
void Copy(Member* from, Member* to);

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_REPLICA_MEMBERS_H_
