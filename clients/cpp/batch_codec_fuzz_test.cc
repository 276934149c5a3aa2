// Whatever a node sends: what is read as a message must be one for Protobuf
// too, with the same answers.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "cairn/storage/v1/batch_service.pb.h"
#include "clients/cpp/batch_codec.h"
#include "clients/cpp/transfer_codec.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cairn::client::AnswerReader;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  // In two pieces, cut where the first byte says.
  absl::Cord message;
  const size_t cut = size == 0 ? 0 : data[0] % (size + 1);
  message.Append(absl::MakeCordFromExternal(
      absl::string_view(bytes.data(), cut), [](absl::string_view) {}));
  message.Append(absl::MakeCordFromExternal(
      absl::string_view(bytes.data() + cut, size - cut),
      [](absl::string_view) {}));

  AnswerReader reader(message);
  cairn::client::SmallAnswer answer;
  AnswerReader::Result result;
  int answers = 0;
  size_t content_bytes = 0;
  while ((result = reader.Next(&answer)) == AnswerReader::Result::kAnswer) {
    ++answers;
    content_bytes += answer.content.size();
  }
  CAIRN_CHECK(content_bytes <= size);
  if (result == AnswerReader::Result::kEnd) {
    cairn::storage::v1::RunResponse response;
    // Protobuf also refuses text that is not UTF-8 and errors that are no
    // Status; we look at neither here.
    if (response.ParseFromString(bytes)) {
      CAIRN_CHECK(response.answers_size() == answers);
    }
  }
  cairn::client::DownloadPart part;
  cairn::client::ParseDownloadResponse(message, &part);
  cairn::client::PutResult put;
  cairn::client::ParseUploadResponse(message, &put);
  return 0;
}
