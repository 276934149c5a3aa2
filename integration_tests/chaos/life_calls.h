// The calls that change a file's life, through the client library: many at
// once, so that those that can go in one message do.

#ifndef CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_CALLS_H_
#define CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_CALLS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "clients/cpp/client.h"
#include "integration_tests/chaos/file_life.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace testing {

// How a file comes to be.
enum class Making {
  kPut,
  kShared,   // Its content may be there already.
  kDerived,  // Named after another one.
  kCopy,     // Of another one.
  kAppender,
  kInParts,  // An upload that can be gone on with.
};

// One change of one file, which may be asked for again.
struct LifeCall {
  client::Client* client = nullptr;
  FileChange change;
  std::string file_id;  // Empty if it is to be made, and not known.
  Uuid request;
  client::Durability durability;
  bool with_derived = false;  // kDelete.

  // kMake.
  Making making = Making::kPut;
  std::string made_of;            // The master, or what is copied.
  std::string prefix;             // kDerived.
  bool keeps_attributes = false;  // kCopy: those of what is copied.
  absl::optional<uint32_t> store_path;

  // kInParts: where the content is, and what is known of the upload.
  std::string source_file;
  client::UploadState upload;
  std::function<void()> part_sent;

  // kAppend: what it is added to.
  int64_t size_before = 0;
};

// An answer that says that it was done.
struct LifeAnswer {
  client::FileInfo info;  // Not of a deletion.
  client::DurabilityLevel level = client::DurabilityLevel::kCached;
  uint32_t replicas = 0;
  bool replayed = false;
};

// Makes all calls and waits for their answers, which come in the same order.
// Errors are the library's, and INTERNAL: an answer is not what was asked for.
// Of an upload in parts the call is brought up to date.
std::vector<absl::StatusOr<LifeAnswer>> MakeCalls(
    const std::vector<LifeCall*>& calls);

// What a reader is told of a file.
struct Seen {
  absl::Status status;
  client::FileInfo info;
  absl::optional<absl::Cord>
      content;  // Unset if only the record was asked for.
};

// Reads all of them at once, or asks what is known of them.
std::vector<Seen> ReadAll(client::Client* client,
                          const std::vector<std::string>& file_ids);
std::vector<Seen> StatAll(client::Client* client,
                          const std::vector<std::string>& file_ids);

// Empty if that is what a reader must be told of such a file; else what is
// different.
std::string Difference(const Seen& seen, const FileState& state);

}  // namespace testing
}  // namespace cairn

#endif  // CAIRN_INTEGRATION_TESTS_CHAOS_LIFE_CALLS_H_
