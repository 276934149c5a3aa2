// Blocking calls to one storage node on the bare wire: one call is one RPC,
// with nothing repeated and nothing chosen behind the test's back. For what a
// client program sees there is clients/cpp.

#ifndef CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_STORAGE_STUB_H_
#define CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_STORAGE_STUB_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "lib/attributes/attributes.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace testing {

// A put that was acknowledged.
struct StoredFile {
  std::string file_id;
  bool replayed = false;
  bool synced = false;
  uint32_t replicas = 0;  // As the answer says.
};

// One file of PutBatch().
struct BatchPut {
  Uuid request;
  std::string content;
  bool synced = false;
};

struct PutWishes {
  bool synced = true;
  absl::optional<uint32_t> store_path = {};  // Unset: the node chooses.
  bool declare_size = true;                  // False: of unknown length.
  int64_t chunk_bytes = 256 << 10;
  uint32_t replicas = 0;  // 0: the node's default.
  bool replicas_required = false;
  Attributes attributes = {};
};

// What a node says of the attributes of a file.
struct SeenAttributes {
  Attributes attributes;
  uint64_t version_clock = 0;
  uint32_t version_node = 0;
};

// Thread-safe. Errors are the server's, with their reason; UNAVAILABLE without
// a reason means that nobody answers. Every answer is checked for what a caller
// may rely on (lengths, offsets, checksums, the level reached); a breach is
// INTERNAL and says so.
class StorageStub {
 public:
  explicit StorageStub(const std::string& address);
  ~StorageStub();

  absl::StatusOr<StoredFile> Put(const Uuid& request, absl::string_view content,
                                 const PutWishes& wishes = {});

  // All files in one message of a batch stream. An answer for each, in order; a
  // missing one is the stream's error.
  std::vector<absl::StatusOr<StoredFile>> PutBatch(
      const std::vector<BatchPut>& files);

  // `length` unset reads to the end.
  absl::StatusOr<std::string> Get(absl::string_view file_id, int64_t offset = 0,
                                  absl::optional<int64_t> length = {});

  // The size.
  absl::StatusOr<int64_t> Stat(absl::string_view file_id);

  // Whether it was replayed.
  absl::StatusOr<bool> Delete(const Uuid& request, absl::string_view file_id,
                              bool synced = true);

  absl::StatusOr<SeenAttributes> GetAttributes(absl::string_view file_id);

  // At `replicas` members, all of them required. Returns the clock of the
  // version that it gave the file.
  absl::StatusOr<uint64_t> SetAttributes(const Uuid& request,
                                         absl::string_view file_id,
                                         const AttributeChange& change,
                                         uint32_t replicas = 1);

  absl::StatusOr<cairn::storage::v1::GetStateResponse> State();

  // Files of all store paths together.
  absl::StatusOr<int64_t> Files();

  // Starts a job and waits until it has ended well.
  absl::Status Compact(uint32_t store_path, double dead_share_min);
  absl::Status RebuildIndex(uint32_t store_path);

  // The same; what the job has found.
  absl::StatusOr<cairn::storage::v1::ScrubReport> Scrub(
      uint32_t store_path, int64_t bytes_per_second = 0);
  absl::StatusOr<cairn::storage::v1::ComparisonReport> Compare(
      uint32_t store_path);

  // Whether the health service says SERVING for `service`.
  absl::StatusOr<bool> Healthy(absl::string_view service);

 private:
  struct Stubs;

  absl::StatusOr<cairn::storage::v1::Job> AwaitJob(const std::string& job_id);

  std::unique_ptr<Stubs> stubs_;
};

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_MINI_CLUSTER_STORAGE_STUB_H_
