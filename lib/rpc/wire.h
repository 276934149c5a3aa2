// Protobuf's wire format read from and written to gRPC's slices, so that file
// content passes through without being copied into a message object.
//
//   received slices ──WireReader──▶ fields, and absl::Cords that refer to the
//                                   slices
//   fields, absl::Cords ──WireWriter──▶ slices that refer to the Cords
//
// For the few messages that carry content (chunk_wire.h, batch_wire.h); all
// others use generated code. Not thread-safe.

#ifndef CAIRN_LIB_RPC_WIRE_H_
#define CAIRN_LIB_RPC_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"
#include "lib/base/varint.h"

namespace cairn {
namespace rpc {

// How a field's value is laid out.
enum class WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5,
};

// Walks through a message that anybody may have sent:
//
//   WireReader reader(buffer);
//   while (reader.Next()) {
//     switch (reader.field()) {
//       case 1: reader.ReadVarint(&offset); break;
//       case 2: { auto outer = reader.Enter(); while (reader.Next()) …;
//                 reader.Leave(outer); break; }
//       default: reader.Skip();
//     }
//   }
//   if (!reader.ok()) …  // Malformed: nothing that was read counts.
//
// After an error every call does nothing and Next() is false. A value whose
// type is not the one that is asked for is an error. Groups are refused.
class WireReader {
 public:
  // Refers to the buffer's slices; the buffer itself need not live on.
  explicit WireReader(const grpc::ByteBuffer& buffer);

  // For tests, and for a message inside a field. `bytes` must outlive the
  // reader and every Cord that it returns.
  explicit WireReader(absl::string_view bytes);

  WireReader(const WireReader&) = delete;
  WireReader& operator=(const WireReader&) = delete;

  bool ok() const { return ok_; }

  // Goes to the next field of the message that the reader is in; false at its
  // end. The value of the field before must have been read or skipped.
  bool Next();
  uint32_t field() const { return field_; }

  // Goes to the next field of that number, passing over others.
  bool NextOf(uint32_t field);
  WireType type() const { return type_; }

  // Each reads the value of the field that Next() found. 0 or empty on error.
  uint64_t ReadVarint();
  uint32_t ReadFixed32();
  int64_t ReadInt64() { return static_cast<int64_t>(ReadVarint()); }
  uint32_t ReadUint32() { return static_cast<uint32_t>(ReadVarint()); }
  int32_t ReadInt32() { return static_cast<int32_t>(ReadVarint()); }

  // A view of the bytes where they lie, or of a copy in `scratch` if they are
  // spread over slices. Valid as long as this reader and `scratch`.
  absl::string_view ReadBytes(std::string* scratch);

  // Refers to the slices, except for a few bytes, which are copied.
  absl::Cord ReadCord();

  // Parses with generated code; fails as it does.
  void ReadMessage(google::protobuf::MessageLite* message);

  // Passes over the value.
  void Skip();

  // Goes into the message that is the field's value, and out of it again.
  // Leave() passes over what was not read.
  size_t Enter();
  void Leave(size_t outer);

  // Declares the message malformed, for a reason that the caller found.
  void Fail() { ok_ = false; }

 private:
  // Bytes that are left in the message that the reader is in.
  size_t Left() const { return limit_ - position_; }
  bool ReadRawVarint(uint64_t* value);
  bool ReadRawVarintSlow(uint64_t* value);
  void ReadRaw(void* out, size_t size);
  void Advance(size_t size);
  void NextSlice();
  size_t ReadLength();

  std::vector<grpc::Slice> slices_;
  size_t slice_ = 0;  // The slice that `at_` is in.
  const uint8_t* at_ = nullptr;
  const uint8_t* end_ = nullptr;  // Of the slice.
  size_t position_ = 0;           // Bytes before `at_`, over all slices.
  size_t limit_ = 0;              // Where the message ends.
  uint32_t field_ = 0;
  WireType type_ = WireType::kVarint;
  bool ok_ = true;
};

// The fields of a small message (at most kMax bytes; more is a broken
// invariant), on the stack: lengths come first on the wire, so what is inside a
// message is laid out before what is round it.
class SmallMessage {
 public:
  static constexpr size_t kMax = 1024;

  absl::string_view view() const { return absl::string_view(bytes_, size_); }
  size_t size() const { return size_; }

  // Each writes a field, also if the value is the default.
  void Varint(uint32_t field, uint64_t value);
  void Fixed32(uint32_t field, uint32_t value);
  void Bytes(uint32_t field, absl::string_view value);
  // One field of two runs of bytes.
  void Bytes(uint32_t field, absl::string_view first, absl::string_view second);

  // What Protobuf writes: nothing for the default.
  void VarintIfSet(uint32_t field, uint64_t value) {
    if (value != 0) Varint(field, value);
  }
  void Fixed32IfSet(uint32_t field, uint32_t value) {
    if (value != 0) Fixed32(field, value);
  }
  void BytesIfSet(uint32_t field, absl::string_view value) {
    if (!value.empty()) Bytes(field, value);
  }

  // The tag of field `field` and a length, for bytes that follow elsewhere.
  void Header(uint32_t field, size_t length);

 private:
  void Raw(uint64_t value);
  void Append(absl::string_view bytes);

  char bytes_[kMax];
  size_t size_ = 0;
};

// Puts a message together from fields that are laid out already and content.
class WireWriter {
 public:
  // Content of fewer bytes is copied into the buffer that the fields are in: a
  // slice of its own costs more than that.
  static constexpr size_t kReferenceFrom = 8 << 10;

  WireWriter() = default;
  WireWriter(const WireWriter&) = delete;
  WireWriter& operator=(const WireWriter&) = delete;

  // Bytes so far.
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void Append(absl::string_view bytes);
  void Append(const SmallMessage& message) { Append(message.view()); }

  // Refers to `content` until gRPC has sent the message.
  void AppendContent(const absl::Cord& content);

  // The message; the writer is empty again.
  grpc::ByteBuffer Finish();

 private:
  char* Reserve(size_t size);
  void Flush();

  std::vector<grpc::Slice> slices_;
  grpc::Slice open_;  // Being filled.
  bool has_open_ = false;
  size_t begin_ = 0;  // What of `open_` is not in `slices_` yet: from here
  size_t end_ = 0;    // to here.
  size_t size_ = 0;
};

// A buffer of one slice, copied from `bytes`; for messages made by generated
// code.
grpc::ByteBuffer ToByteBuffer(absl::string_view bytes);
grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message);

// Parses with generated code.
bool FromByteBuffer(const grpc::ByteBuffer& buffer,
                    google::protobuf::MessageLite* message);

}  // namespace rpc
}  // namespace cairn

#endif  // CAIRN_LIB_RPC_WIRE_H_
