// Files of a store path whose content was found damaged, until it is good
// again.
//
//   Report ─▶ waits ─▶ fetched from a member ─▶ checked, swapped in: mended
//               ▲           │ bad there too, not there, not reachable
//               │           ▼
//               │       the next member … all were asked: unmendable for now
//               └── later, later each time ──┘
//
// A good copy is never replaced by a bad one: the member checks what it reads,
// the whole file's size and CRC-32C are checked here before the swap, and the
// version must be that of the damaged file.

#ifndef CAIRN_SERVICES_STORAGE_CORE_REPAIRS_H_
#define CAIRN_SERVICES_STORAGE_CORE_REPAIRS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/mutex.h"
#include "services/storage/core/content_fetch.h"
#include "services/storage/core/file_info.h"
#include "services/storage/core/peer_transport.h"
#include "services/storage/core/store_path.h"

namespace cairn {
namespace storage {

struct RepairsOptions {
  // Files that are remembered. More are dropped, and found again by whoever
  // reads them next.
  size_t files_max = 10000;

  // Contents that are fetched at once.
  size_t fetches_max = 2;

  // Before all members are asked again.
  absl::Duration backoff_shortest = absl::Seconds(1);
  absl::Duration backoff_longest = absl::Minutes(10);

  // A fetch that brings nothing for so long is given up.
  absl::Duration silence_max = absl::Seconds(30);
};

enum class RepairOutcome {
  kPending,
  kMended,
  kGone,        // Deleted, or changed since.
  kUnmendable,  // No member could give a good copy. It is tried again later.
};

// For whoever reported a file and wants to know what became of it. Thread-safe.
class RepairTicket {
 public:
  RepairOutcome outcome() const { return outcome_.load(); }

 private:
  friend class Repairs;
  std::atomic<RepairOutcome> outcome_{RepairOutcome::kPending};
};

// For people.
struct DamagedFile {
  std::string name;
  int64_t size_bytes = 0;
  uint32_t attempts = 0;
  bool unmendable = false;
  std::string detail;  // Why it is not mended yet.
};

struct RepairNumbers {
  // Now.
  size_t damaged = 0;
  size_t unmendable = 0;

  // Since the process began.
  uint64_t found = 0;
  uint64_t mended = 0;
  uint64_t dropped = 0;  // There was no room to remember them.
};

class Repairs {
 public:
  // `wake` asks for a Tick() soon; on any thread, must not block. `transport`
  // is borrowed.
  Repairs(const RepairsOptions& options, uint8_t store_path,
          PeerTransport* transport, std::function<void()> wake);
  ~Repairs();  // Nothing is running.

  Repairs(const Repairs&) = delete;
  Repairs& operator=(const Repairs&) = delete;

  // A file that is damaged here. Any thread; quick. Null: there is no room to
  // remember it.
  std::shared_ptr<const RepairTicket> Report(const FileInfo& file)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The members that may have a file of this origin, the likeliest first;
  // nullopt while it is not known who the members are.
  using PeersFor =
      std::function<absl::optional<std::vector<Peer>>(uint32_t origin_node)>;

  // Does what is to be done now. One thread at a time, as are the next four.
  // Reads the index now and then.
  void Tick(absl::Duration now, const std::shared_ptr<StorePath>& path,
            const PeersFor& peers_for) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends fetches soon; takes leave of those that have ended.
  void Cancel();
  void Reap(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_);
  bool running() const { return running_ > 0; }

  // Lets go of the path; nothing is running. What is damaged stays known.
  void Detach() ABSL_LOCKS_EXCLUDED(mu_);

  RepairNumbers Numbers() const ABSL_LOCKS_EXCLUDED(mu_);

  // At most `limit`.
  std::vector<DamagedFile> List(size_t limit) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct File {
    FileInfo info;
    std::shared_ptr<RepairTicket> ticket;
    uint32_t attempts = 0;
    size_t asked = 0;  // Members, since the last wait.
    bool unmendable = false;
    bool fetching = false;
    std::string detail;
    absl::Duration wait = absl::ZeroDuration();
    absl::Duration due = -absl::InfiniteDuration();  // Clock::Monotonic().
  };
  struct Fetching {
    std::unique_ptr<ContentFetch> fetch;
    bool running = false;
    Peer peer;
    size_t peers = 0;  // That can be asked.
    int64_t received_bytes = 0;
    absl::Duration heard = absl::ZeroDuration();  // Of the last bytes.
  };

  void Begin(absl::Duration now, const FileInfo& file,
             const std::shared_ptr<StorePath>& path, const PeersFor& peers_for)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Over(const std::string& name, RepairOutcome outcome)
      ABSL_LOCKS_EXCLUDED(mu_);
  bool Failed(absl::Duration now, const std::string& name, size_t peers,
              const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void GiveUpIfSilent(absl::Duration now, Fetching* fetching);
  void Postpone(absl::Duration now, const std::string& name,
                const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  const RepairsOptions options_;
  const uint8_t store_path_;
  PeerTransport* const transport_;
  const std::function<void()> wake_;

  // ---- The thread that ticks.
  std::map<std::string, Fetching> fetches_;
  size_t running_ = 0;

  mutable Mutex mu_;
  std::map<std::string, File> files_ ABSL_GUARDED_BY(mu_);
  RepairNumbers numbers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_CORE_REPAIRS_H_
