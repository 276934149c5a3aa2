// Whatever a node answers to a call: what these readers take is a message for
// Protobuf too, and says the same.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "clients/cpp/appender_codec.h"
#include "clients/cpp/copy_codec.h"
#include "clients/cpp/derived_codec.h"
#include "clients/cpp/replica_codec.h"
#include "lib/base/check.h"

namespace {

namespace client = ::cairn::client;
namespace pb = ::cairn::storage::v1;

// Whether `bytes` are a message as it is written: nothing is said twice, which
// Protobuf puts together and these readers do not.
template <typename Message>
bool IsWritten(const std::string& bytes, Message* message) {
  return message->ParseFromString(bytes) &&
         message->ByteSizeLong() == bytes.size();
}

void CheckSame(const client::FileInfo& a,
               const cairn::common::v1::FileInfo& b) {
  CAIRN_CHECK(a.file_id == b.file_id());
  CAIRN_CHECK(a.size_bytes == b.size_bytes());
  CAIRN_CHECK(a.crc32c == b.crc32c());
  CAIRN_CHECK(a.version_clock == b.version().clock());
  CAIRN_CHECK(a.version_node == b.version().node());
  CAIRN_CHECK(a.origin_node == b.origin_node());
}

void FuzzCopy(const std::string& bytes) {
  client::CopyResult result;
  const bool taken = client::ParseCopyResponse(absl::Cord(bytes), &result);
  pb::CopyResponse message;
  if (!taken || !IsWritten(bytes, &message)) return;
  CheckSame(result.info, message.info());
  CAIRN_CHECK(result.shared == message.shared());
  CAIRN_CHECK(result.replayed == message.replayed());
}

void FuzzUpdate(const std::string& bytes) {
  client::PutResult result;
  const bool taken = client::ParseUpdateResponse(absl::Cord(bytes), &result);
  pb::SetExpiryResponse message;
  if (!taken || !IsWritten(bytes, &message)) return;
  CheckSame(result.info, message.info());
  CAIRN_CHECK(result.replicas == message.reached().replicas());
  CAIRN_CHECK(result.replayed == message.replayed());
}

void FuzzDelete(const std::string& bytes) {
  client::DeleteResult result;
  const bool taken = client::ParseDeleteResponse(absl::Cord(bytes), &result);
  pb::DeleteResponse message;
  if (!taken || !IsWritten(bytes, &message)) return;
  CAIRN_CHECK(result.replicas == message.reached().replicas());
  CAIRN_CHECK(result.replayed == message.replayed());
  CAIRN_CHECK(result.derived_deleted == message.derived_deleted());
  CAIRN_CHECK(result.undelete_until.has_value() ==
              message.has_undelete_until());
}

void FuzzList(const std::string& bytes) {
  client::ListDerivedResult result;
  const bool taken =
      client::ParseListDerivedResponse(absl::Cord(bytes), &result);
  pb::ListDerivedResponse message;
  if (!taken || !IsWritten(bytes, &message)) return;
  CAIRN_CHECK(static_cast<int>(result.files.size()) == message.files_size());
  for (int i = 0; i < message.files_size(); ++i) {
    CheckSame(result.files[static_cast<size_t>(i)], message.files(i));
  }
  CAIRN_CHECK(result.next_page_token == message.next_page_token());
}

void FuzzStat(const std::string& bytes) {
  client::FileInfo info;
  const bool taken = client::ParseStatResponse(absl::Cord(bytes), &info);
  pb::StatResponse message;
  if (!taken || !IsWritten(bytes, &message)) return;
  CheckSame(info, message.info());
  CAIRN_CHECK(static_cast<int>(info.replicas.size()) ==
              message.replicas_size());
  for (int i = 0; i < message.replicas_size(); ++i) {
    const client::Replica& replica = info.replicas[static_cast<size_t>(i)];
    CAIRN_CHECK(replica.node_uuid == message.replicas(i).node_uuid());
    CAIRN_CHECK(replica.node_name == message.replicas(i).node_name());
    CAIRN_CHECK(replica.node_number == message.replicas(i).node_number());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      FuzzCopy(bytes);
      break;
    case 1:
      FuzzUpdate(bytes);
      break;
    case 2:
      FuzzDelete(bytes);
      break;
    case 3:
      FuzzList(bytes);
      break;
    default:
      FuzzStat(bytes);
      break;
  }
  return 0;
}
