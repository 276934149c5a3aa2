// A storage node over std::map that speaks the real protocol, on an ephemeral
// port of this process, and misbehaves on demand.

#ifndef CAIRN_CLIENTS_CPP_TESTING_FAKE_STORAGE_H_
#define CAIRN_CLIENTS_CPP_TESTING_FAKE_STORAGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {
namespace client {

// Thread-safe.
class FakeStorage {
 public:
  struct Options {
    std::string group = "group1";
    uint32_t node_number = 7;
    std::string name = "fake1";
  };

  FakeStorage() : FakeStorage(Options()) {}
  explicit FakeStorage(const Options& options);
  ~FakeStorage();

  FakeStorage(const FakeStorage&) = delete;
  FakeStorage& operator=(const FakeStorage&) = delete;

  const std::string& address() const;
  const Options& options() const;

  // As a killed process: connections break, nothing listens. Then again on the
  // same port, with the same files.
  void Kill();
  void Restart();

  // ---- What it has.
  size_t files() const;
  std::string ContentOf(absl::string_view file_id) const;  // "" if unknown.
  bool Has(absl::string_view file_id) const;

  // Puts a file in as if it had been uploaded; returns its ID.
  std::string Add(absl::string_view content);

  // Takes over another member's files, as replication would.
  void CopyFilesFrom(const FakeStorage& other);

  // Changes what is stored without changing what is known of it.
  void Damage(absl::string_view file_id);

  // ---- What it was asked. Items of batches and calls count alike.
  int operations() const;
  int stores() const;  // Files that were stored, repetitions left out.
  int attribute_changes() const;  // Repetitions left out.
  int downloads() const;          // Calls of Download.
  int uploads() const;            // Calls of Upload.
  int batch_streams() const;
  std::vector<size_t> batch_message_items() const;  // Items of each message.
  std::vector<int64_t> download_offsets() const;

  // As an older node: `with_derived` means nothing to it in a batch.
  void IgnoreDerivedInBatches();

  // ---- Faults. Each holds for the next `times` operations that it can hit.

  // Answered with `status` and not run.
  void FailNext(int times, const absl::Status& status);

  // Run, but the batch stream ends with UNAVAILABLE instead of the answer.
  void LoseAnswers(int times);

  // A byte of the content is flipped on its way out; the CRC is right.
  void CorruptReads(int times);

  // A put is answered with the CRC of something else.
  void CorruptPutAnswers(int times);

  // Puts and uploads find that what arrived does not match its CRC.
  void CorruptArrivals(int times);

  // The Download or Upload ends with UNAVAILABLE after so many bytes.
  void CutDownloads(int times, int64_t after_bytes);
  void CutUploads(int times, int64_t after_bytes);

  // Downloads stop moving after so many bytes, until they are cancelled.
  void StallDownloads(int times, int64_t after_bytes);

  // While held, no answer leaves; what arrives is run and waits.
  void Hold();
  void Release();

  // Blocks until this many batch items have arrived since the start.
  void AwaitItems(int items);

 private:
  class State;
  class Files;
  class Batches;
  class Nodes;
  struct Server;

  const std::unique_ptr<State> state_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

}  // namespace client
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CPP_TESTING_FAKE_STORAGE_H_
