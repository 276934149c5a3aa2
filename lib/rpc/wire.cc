#include "lib/rpc/wire.h"

#include <algorithm>
#include <utility>

#include "google/protobuf/io/coded_stream.h"
#include "lib/base/check.h"

namespace cairn {
namespace rpc {
namespace {

// A Cord of fewer bytes is flat: less than what a reference costs.
constexpr size_t kCopyBelow = 512;

// The buffers that fields and small content are gathered in: the first of a
// message, for many messages are short, and the others. A little less than a
// power of two, so that with gRPC's header they are no odd size for the
// allocator.
constexpr size_t kFirstBufferBytes = (1 << 10) - 64;
constexpr size_t kBufferBytes = (16 << 10) - 64;

}  // namespace

WireReader::WireReader(const grpc::ByteBuffer& buffer) {
  if (!buffer.Valid()) return;
  if (!buffer.Dump(&slices_).ok()) {
    slices_.clear();
    ok_ = false;
    return;
  }
  for (const grpc::Slice& slice : slices_) limit_ += slice.size();
  if (!slices_.empty()) {
    at_ = slices_[0].begin();
    end_ = slices_[0].end();
  }
}

WireReader::WireReader(absl::string_view bytes) {
  slices_.emplace_back(bytes.data(), bytes.size(), grpc::Slice::STATIC_SLICE);
  limit_ = bytes.size();
  at_ = slices_[0].begin();
  end_ = slices_[0].end();
}

void WireReader::NextSlice() {
  while (at_ == end_ && slice_ + 1 < slices_.size()) {
    ++slice_;
    at_ = slices_[slice_].begin();
    end_ = slices_[slice_].end();
  }
}

// `size` must not be more than is left.
void WireReader::Advance(size_t size) {
  position_ += size;
  while (size > 0) {
    if (at_ == end_) NextSlice();
    const size_t step = std::min<size_t>(size, end_ - at_);
    at_ += step;
    size -= step;
  }
}

void WireReader::ReadRaw(void* out, size_t size) {
  char* to = static_cast<char*>(out);
  position_ += size;
  while (size > 0) {
    if (at_ == end_) NextSlice();
    const size_t step = std::min<size_t>(size, end_ - at_);
    std::memcpy(to, at_, step);
    to += step;
    at_ += step;
    size -= step;
  }
}

bool WireReader::ReadRawVarint(uint64_t* value) {
  if (at_ != end_ && position_ < limit_ && *at_ < 0x80) {
    *value = *at_++;
    ++position_;
    return true;
  }
  return ReadRawVarintSlow(value);
}

bool WireReader::ReadRawVarintSlow(uint64_t* value) {
  uint64_t out = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (position_ >= limit_) break;
    if (at_ == end_) NextSlice();
    const uint8_t byte = *at_++;
    ++position_;
    out |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = out;
      return true;
    }
  }
  ok_ = false;
  return false;
}

bool WireReader::Next() {
  if (!ok_ || position_ >= limit_) return false;
  uint64_t tag = 0;
  if (!ReadRawVarint(&tag)) return false;
  const uint32_t type = tag & 7;
  field_ = static_cast<uint32_t>(tag >> 3);
  if (tag > 0xffffffffu || field_ == 0 ||
      (type != 0 && type != 1 && type != 2 && type != 5)) {
    ok_ = false;
    return false;
  }
  type_ = static_cast<WireType>(type);
  return true;
}

bool WireReader::NextOf(uint32_t field) {
  while (Next()) {
    if (field_ == field) return true;
    Skip();
  }
  return false;
}

uint64_t WireReader::ReadVarint() {
  uint64_t value = 0;
  if (!ok_ || type_ != WireType::kVarint) {
    ok_ = false;
    return 0;
  }
  return ReadRawVarint(&value) ? value : 0;
}

uint32_t WireReader::ReadFixed32() {
  if (!ok_ || type_ != WireType::kFixed32 || Left() < 4) {
    ok_ = false;
    return 0;
  }
  uint8_t b[4];
  ReadRaw(b, 4);
  return static_cast<uint32_t>(b[0]) | static_cast<uint32_t>(b[1]) << 8 |
         static_cast<uint32_t>(b[2]) << 16 | static_cast<uint32_t>(b[3]) << 24;
}

size_t WireReader::ReadLength() {
  uint64_t length = 0;
  if (!ok_ || type_ != WireType::kBytes || !ReadRawVarint(&length) ||
      length > Left()) {
    ok_ = false;
    return 0;
  }
  return static_cast<size_t>(length);
}

absl::string_view WireReader::ReadBytes(std::string* scratch) {
  const size_t length = ReadLength();
  if (length == 0) return absl::string_view();
  if (at_ == end_) NextSlice();
  if (static_cast<size_t>(end_ - at_) >= length) {
    const absl::string_view out(reinterpret_cast<const char*>(at_), length);
    at_ += length;
    position_ += length;
    return out;
  }
  scratch->resize(length);
  ReadRaw(&(*scratch)[0], length);
  return *scratch;
}

absl::Cord WireReader::ReadCord() {
  size_t left = ReadLength();
  if (left == 0) return absl::Cord();
  if (left < kCopyBelow) {
    std::string scratch;
    if (at_ == end_) NextSlice();
    if (static_cast<size_t>(end_ - at_) >= left) {
      absl::Cord out(
          absl::string_view(reinterpret_cast<const char*>(at_), left));
      Advance(left);
      return out;
    }
    scratch.resize(left);
    ReadRaw(&scratch[0], left);
    return absl::Cord(std::move(scratch));
  }
  absl::Cord out;
  while (left > 0) {
    if (at_ == end_) NextSlice();
    const size_t step = std::min<size_t>(left, end_ - at_);
    const absl::string_view run(reinterpret_cast<const char*>(at_), step);
    if (step < kCopyBelow) {
      out.Append(run);
    } else {
      out.Append(absl::MakeCordFromExternal(run, [keep = slices_[slice_]] {}));
    }
    at_ += step;
    position_ += step;
    left -= step;
  }
  return out;
}

void WireReader::ReadMessage(google::protobuf::MessageLite* message) {
  std::string scratch;
  const absl::string_view bytes = ReadBytes(&scratch);
  if (!ok_) return;
  google::protobuf::io::CodedInputStream in(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  // Merges, as Protobuf does with a field that comes twice.
  if (!message->MergeFromCodedStream(&in) || !in.ConsumedEntireMessage()) {
    ok_ = false;
  }
}

void WireReader::Skip() {
  if (!ok_) return;
  switch (type_) {
    case WireType::kVarint:
      ReadVarint();
      return;
    case WireType::kFixed32:
      ReadFixed32();
      return;
    case WireType::kFixed64:
      if (Left() < 8) {
        ok_ = false;
      } else {
        Advance(8);
      }
      return;
    case WireType::kBytes:
      Advance(ReadLength());
      return;
  }
}

size_t WireReader::Enter() {
  const size_t length = ReadLength();
  const size_t outer = limit_;
  if (ok_) limit_ = position_ + length;
  return outer;
}

void WireReader::Leave(size_t outer) {
  if (ok_) Advance(Left());
  limit_ = outer;
}

void SmallMessage::Append(absl::string_view bytes) {
  CAIRN_CHECK(size_ + bytes.size() <= kMax);
  std::memcpy(bytes_ + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

void SmallMessage::Raw(uint64_t value) {
  CAIRN_CHECK(size_ + kVarintBytesMax <= kMax);
  size_ = static_cast<size_t>(WriteVarint(value, bytes_ + size_) - bytes_);
}

void SmallMessage::Varint(uint32_t field, uint64_t value) {
  Raw(field << 3 | static_cast<uint32_t>(WireType::kVarint));
  Raw(value);
}

void SmallMessage::Fixed32(uint32_t field, uint32_t value) {
  Raw(field << 3 | static_cast<uint32_t>(WireType::kFixed32));
  const char b[4] = {static_cast<char>(value), static_cast<char>(value >> 8),
                     static_cast<char>(value >> 16),
                     static_cast<char>(value >> 24)};
  Append(absl::string_view(b, 4));
}

void SmallMessage::Bytes(uint32_t field, absl::string_view value) {
  Header(field, value.size());
  Append(value);
}

void SmallMessage::Bytes(uint32_t field, absl::string_view first,
                         absl::string_view second) {
  Header(field, first.size() + second.size());
  Append(first);
  Append(second);
}

void SmallMessage::Header(uint32_t field, size_t length) {
  Raw(field << 3 | static_cast<uint32_t>(WireType::kBytes));
  Raw(length);
}

// Room for `size` bytes at the end of the open buffer, which are then part of
// the message.
char* WireWriter::Reserve(size_t size) {
  if (!has_open_ || open_.size() - end_ < size) {
    Flush();
    open_ = grpc::Slice(
        std::max(size, has_open_ ? kBufferBytes : kFirstBufferBytes));
    has_open_ = true;
    begin_ = end_ = 0;
  }
  char* const out =
      const_cast<char*>(reinterpret_cast<const char*>(open_.begin())) + end_;
  end_ += size;
  size_ += size;
  return out;
}

void WireWriter::Flush() {
  if (end_ > begin_) slices_.push_back(open_.sub(begin_, end_));
  begin_ = end_;
}

void WireWriter::Append(absl::string_view bytes) {
  if (bytes.empty()) return;  // memcpy() takes no null pointer.
  std::memcpy(Reserve(bytes.size()), bytes.data(), bytes.size());
}

void WireWriter::AppendContent(const absl::Cord& content) {
  if (content.size() < kReferenceFrom) {
    char* to = Reserve(content.size());
    for (const absl::string_view run : content.Chunks()) {
      std::memcpy(to, run.data(), run.size());
      to += run.size();
    }
    return;
  }
  Flush();
  size_ += content.size();
  for (const absl::string_view run : content.Chunks()) {
    // Each slice keeps the content alive by itself; gRPC frees them one by one,
    // on whatever thread.
    slices_.emplace_back(
        const_cast<char*>(run.data()), run.size(),
        [](void* keep) { delete static_cast<absl::Cord*>(keep); },
        new absl::Cord(content));
  }
}

grpc::ByteBuffer WireWriter::Finish() {
  Flush();
  grpc::ByteBuffer out(slices_.data(), slices_.size());
  slices_.clear();
  open_ = grpc::Slice();
  has_open_ = false;
  begin_ = end_ = 0;
  size_ = 0;
  return out;
}

grpc::ByteBuffer ToByteBuffer(absl::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  grpc::Slice slice(size);
  uint8_t* const begin = const_cast<uint8_t*>(slice.begin());
  message.SerializeWithCachedSizesToArray(begin);
  return grpc::ByteBuffer(&slice, 1);
}

bool FromByteBuffer(const grpc::ByteBuffer& buffer,
                    google::protobuf::MessageLite* message) {
  if (!buffer.Valid()) return message->ParseFromArray("", 0);
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) return false;
  return message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

}  // namespace rpc
}  // namespace cairn
