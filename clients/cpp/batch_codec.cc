#include "clients/cpp/batch_codec.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/wire_format.h"

namespace cairn {
namespace client {
namespace {

// Content pieces from here on are referenced; copying smaller ones costs less
// than keeping count of them.
constexpr size_t kReferencedBytesMin = 16 << 10;

// An answer's fields before its content fit into this many bytes by far.
constexpr size_t kAnswerHeadBytes = 2048;

// Field numbers of BatchItem.operation, of BatchAnswer.outcome, and of content
// in both.
constexpr uint32_t kItemField[] = {2, 3, 4, 5, 30, 31};
constexpr uint32_t kSetAttributesField = 30;
constexpr uint32_t kAppendField = 31;
constexpr uint32_t kContentField = 15;

// Of PutOperation; and of GetOperation and StatOperation, which ask for them.
constexpr uint32_t kAttributesField = 30;

// Of PutOperation: what it is derived from.
constexpr uint32_t kDerivedField = 50;

// Of PutOperation, and of PutOutcome.
constexpr uint32_t kDedupField = 90;
constexpr uint32_t kSharedField = 91;

// AttributesMode.
constexpr uint64_t kOverwrite = 1;
constexpr uint64_t kMerge = 2;
constexpr uint32_t kLifetimeField = 40;

// Of DeleteOperation, and of DeleteOutcome.
constexpr uint32_t kPurgeField = 42;
constexpr uint32_t kUndeleteUntilField = 42;
constexpr uint32_t kWithDerivedField = 50;
constexpr uint32_t kDerivedDeletedField = 50;

size_t DurabilitySize(const Durability& durability) {
  return VarintFieldSize(1, static_cast<uint64_t>(durability.level)) +
         (durability.replicas == 0 ? 0
                                   : VarintFieldSize(2, durability.replicas)) +
         (durability.policy == ReplicaPolicy::kBestEffort
              ? 0
              : VarintFieldSize(3, static_cast<uint64_t>(durability.policy)));
}

size_t IncludeSize(const SmallRequest& r) {
  return r.include_attributes ? VarintFieldSize(kAttributesField, 1) : 0;
}

size_t VersionSize(const SmallRequest& r) {
  return VarintFieldSize(1, r.if_version_match->first) +
         VarintFieldSize(2, r.if_version_match->second);
}

// Of an UpdateCondition; 0 if there is none.
size_t ConditionSize(const SmallRequest& r) {
  return (r.if_size_bytes
              ? VarintFieldSize(1, static_cast<uint64_t>(*r.if_size_bytes))
              : 0) +
         (r.if_version_match ? BytesFieldSize(2, VersionSize(r)) : 0);
}

size_t DerivedSize(const SmallRequest& r) {
  return BytesFieldSize(1, r.derived_from.size()) +
         BytesFieldSize(2, r.prefix.size());
}

// Sizes and then bytes, in two functions that must name the same fields: the
// lengths in front have to be known before anything is written.
size_t OperationSize(const SmallRequest& r) {
  switch (r.kind) {
    case SmallKind::kPut:
      return BytesFieldSize(1, r.request_id.bytes().size()) +
             (r.store_path ? VarintFieldSize(2, *r.store_path) : 0) +
             (r.extension.empty() ? 0 : BytesFieldSize(3, r.extension.size())) +
             BytesFieldSize(4, DurabilitySize(r.durability)) +
             Fixed32FieldSize(5) +
             (r.attributes.empty()
                  ? 0
                  : BytesFieldSize(kAttributesField, r.attributes.size())) +
             (r.lifetime.empty()
                  ? 0
                  : BytesFieldSize(kLifetimeField, r.lifetime.size())) +
             (r.derived_from.empty()
                  ? 0
                  : BytesFieldSize(kDerivedField, DerivedSize(r))) +
             (r.dedup ? VarintFieldSize(kDedupField, *r.dedup ? 1 : 0) : 0) +
             BytesFieldSize(kContentField, r.content_bytes());
    case SmallKind::kGet:
      return BytesFieldSize(1, r.file_id.size()) +
             (r.offset == 0
                  ? 0
                  : VarintFieldSize(2, static_cast<uint64_t>(r.offset))) +
             (r.length ? VarintFieldSize(3, static_cast<uint64_t>(*r.length))
                       : 0) +
             IncludeSize(r);
    case SmallKind::kStat:
      return BytesFieldSize(1, r.file_id.size()) + IncludeSize(r);
    case SmallKind::kDelete:
      return (r.request_id.is_nil()
                  ? 0
                  : BytesFieldSize(1, r.request_id.bytes().size())) +
             BytesFieldSize(2, r.file_id.size()) +
             BytesFieldSize(3, DurabilitySize(r.durability)) +
             (r.purge ? VarintFieldSize(kPurgeField, 1) : 0) +
             (r.with_derived ? VarintFieldSize(kWithDerivedField, 1) : 0);
    case SmallKind::kSetAttributes: {
      size_t size = BytesFieldSize(1, r.request_id.bytes().size()) +
                    BytesFieldSize(2, r.file_id.size()) +
                    BytesFieldSize(3, DurabilitySize(r.durability)) +
                    VarintFieldSize(4, kMerge) +
                    BytesFieldSize(5, r.attributes.size());
      for (const std::string& key : r.remove) {
        size += BytesFieldSize(6, key.size());
      }
      if (r.if_version_match) size += BytesFieldSize(7, VersionSize(r));
      return size;
    }
    case SmallKind::kAppend: {
      const size_t condition = ConditionSize(r);
      return BytesFieldSize(1, r.request_id.bytes().size()) +
             BytesFieldSize(2, r.file_id.size()) +
             BytesFieldSize(3, DurabilitySize(r.durability)) +
             (condition == 0 ? 0 : BytesFieldSize(4, condition)) +
             Fixed32FieldSize(5) +
             BytesFieldSize(kContentField, r.content_bytes());
    }
  }
  return 0;
}

void AppendDurabilityField(uint32_t field, const Durability& durability,
                           std::string* out) {
  AppendBytesHeader(field, DurabilitySize(durability), out);
  AppendDurability(durability, out);
}

void AppendVersionField(uint32_t field, const SmallRequest& r,
                        std::string* out) {
  AppendBytesHeader(field, VersionSize(r), out);
  AppendVarintField(1, r.if_version_match->first, out);
  AppendVarintField(2, r.if_version_match->second, out);
}

// All of the operation but the bytes of its content.
void AppendOperation(const SmallRequest& r, std::string* out) {
  switch (r.kind) {
    case SmallKind::kPut:
      AppendBytesField(1, r.request_id.bytes(), out);
      if (r.store_path) AppendVarintField(2, *r.store_path, out);
      if (!r.extension.empty()) AppendBytesField(3, r.extension, out);
      AppendDurabilityField(4, r.durability, out);
      AppendFixed32Field(5, r.crc32c, out);
      if (!r.attributes.empty()) {
        AppendBytesField(kAttributesField, r.attributes, out);
      }
      if (!r.lifetime.empty()) {
        AppendBytesField(kLifetimeField, r.lifetime, out);
      }
      if (!r.derived_from.empty()) {
        AppendBytesHeader(kDerivedField, DerivedSize(r), out);
        AppendBytesField(1, r.derived_from, out);
        AppendBytesField(2, r.prefix, out);
      }
      if (r.dedup) AppendVarintField(kDedupField, *r.dedup ? 1 : 0, out);
      AppendBytesHeader(kContentField, r.content_bytes(), out);
      break;
    case SmallKind::kGet:
      AppendBytesField(1, r.file_id, out);
      if (r.offset != 0) {
        AppendVarintField(2, static_cast<uint64_t>(r.offset), out);
      }
      if (r.length) AppendVarintField(3, static_cast<uint64_t>(*r.length), out);
      if (r.include_attributes) AppendVarintField(kAttributesField, 1, out);
      break;
    case SmallKind::kStat:
      AppendBytesField(1, r.file_id, out);
      if (r.include_attributes) AppendVarintField(kAttributesField, 1, out);
      break;
    case SmallKind::kDelete:
      if (!r.request_id.is_nil()) {
        AppendBytesField(1, r.request_id.bytes(), out);
      }
      AppendBytesField(2, r.file_id, out);
      AppendDurabilityField(3, r.durability, out);
      if (r.purge) AppendVarintField(kPurgeField, 1, out);
      if (r.with_derived) AppendVarintField(kWithDerivedField, 1, out);
      break;
    case SmallKind::kSetAttributes:
      AppendBytesField(1, r.request_id.bytes(), out);
      AppendBytesField(2, r.file_id, out);
      AppendDurabilityField(3, r.durability, out);
      AppendVarintField(4, r.overwrite ? kOverwrite : kMerge, out);
      AppendBytesField(5, r.attributes, out);
      for (const std::string& key : r.remove) AppendBytesField(6, key, out);
      if (r.if_version_match) AppendVersionField(7, r, out);
      break;
    case SmallKind::kAppend:
      AppendBytesField(1, r.request_id.bytes(), out);
      AppendBytesField(2, r.file_id, out);
      AppendDurabilityField(3, r.durability, out);
      if (const size_t condition = ConditionSize(r); condition > 0) {
        AppendBytesHeader(4, condition, out);
        if (r.if_size_bytes) {
          AppendVarintField(1, static_cast<uint64_t>(*r.if_size_bytes), out);
        }
        if (r.if_version_match) AppendVersionField(2, r, out);
      }
      AppendFixed32Field(5, r.crc32c, out);
      AppendBytesHeader(kContentField, r.content_bytes(), out);
      break;
  }
}

// `head` is the whole answer or its first kAnswerHeadBytes; `size` is the
// answer's. Sets where the content lies in the answer.
struct ContentPlace {
  size_t position = 0;
  size_t size = 0;
};

bool ParseGet(absl::string_view head, size_t size, SmallAnswer* answer,
              ContentPlace* content) {
  WireReader reader(head);
  absl::string_view bytes;
  uint64_t value;
  while (reader.position() < size) {
    uint32_t tag;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kBytes):
        if (!reader.ReadBytes(&bytes) || !ParseFileInfo(bytes, &answer->info)) {
          return false;
        }
        break;
      case Tag(2, WireType::kVarint):
        if (!reader.ReadVarint(&value)) return false;
        answer->offset = static_cast<int64_t>(value);
        break;
      case Tag(3, WireType::kFixed32):
        if (!reader.ReadFixed32(&answer->crc32c)) return false;
        break;
      case Tag(kContentField, WireType::kBytes): {
        // The last field, by the contract of the message; that it is lets most
        // of it lie outside of `head`.
        if (!reader.ReadLength(&value)) return false;
        content->position = reader.position();
        if (value != size - content->position) return false;
        content->size = static_cast<size_t>(value);
        return true;
      }
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return reader.position() == size;
}

bool ParseChange(absl::string_view bytes, bool has_info, SmallAnswer* answer) {
  WireReader reader(bytes);
  const uint32_t reached_field = has_info ? 2 : 1;
  absl::string_view field;
  uint64_t value;
  while (!reader.AtEnd()) {
    uint32_t tag;
    if (!reader.ReadTag(&tag)) return false;
    if (has_info && tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) || !ParseFileInfo(field, &answer->info)) {
        return false;
      }
    } else if (tag == Tag(reached_field, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) || !ParseReached(field, &answer->reached)) {
        return false;
      }
    } else if (tag == Tag(reached_field + 1, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      answer->replayed = value != 0;
    } else if (has_info && tag == Tag(kSharedField, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      answer->shared = value != 0;
    } else if (!has_info && tag == Tag(kUndeleteUntilField, WireType::kBytes)) {
      if (!ReadTime(&reader, &answer->undelete_until)) return false;
    } else if (!has_info &&
               tag == Tag(kDerivedDeletedField, WireType::kVarint)) {
      if (!reader.ReadVarint(&value)) return false;
      answer->derived_deleted = static_cast<uint32_t>(value);
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

bool ParseStat(absl::string_view bytes, SmallAnswer* answer) {
  WireReader reader(bytes);
  absl::string_view field;
  while (!reader.AtEnd()) {
    uint32_t tag;
    if (!reader.ReadTag(&tag)) return false;
    if (tag == Tag(1, WireType::kBytes)) {
      if (!reader.ReadBytes(&field) || !ParseFileInfo(field, &answer->info)) {
        return false;
      }
    } else if (!reader.Skip(tag)) {
      return false;
    }
  }
  return true;
}

bool ParseAnswer(absl::string_view head, size_t size, SmallAnswer* answer,
                 ContentPlace* content) {
  WireReader reader(head);
  bool has_outcome = false;
  while (reader.position() < size) {
    uint32_t tag;
    uint64_t value;
    absl::string_view bytes;
    if (!reader.ReadTag(&tag)) return false;
    switch (tag) {
      case Tag(1, WireType::kVarint):
        if (!reader.ReadVarint(&answer->item_id)) return false;
        break;
      case Tag(2, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->failed = true;
        answer->status_bytes.assign(bytes.data(), bytes.size());
        has_outcome = true;
        break;
      case Tag(3, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->kind = SmallKind::kPut;
        if (!ParseChange(bytes, /*has_info=*/true, answer)) return false;
        has_outcome = true;
        break;
      case Tag(4, WireType::kBytes): {
        if (!reader.ReadLength(&value)) return false;
        const size_t at = reader.position();
        if (value > size - at) return false;
        answer->kind = SmallKind::kGet;
        const auto get_size = static_cast<size_t>(value);
        if (!ParseGet(head.substr(at, get_size), get_size, answer, content)) {
          return false;
        }
        content->position += at;
        has_outcome = true;
        // Nothing that this version knows comes behind it.
        return at + get_size == size;
      }
      case Tag(5, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->kind = SmallKind::kStat;
        if (!ParseStat(bytes, answer)) return false;
        has_outcome = true;
        break;
      case Tag(6, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->kind = SmallKind::kDelete;
        if (!ParseChange(bytes, /*has_info=*/false, answer)) return false;
        has_outcome = true;
        break;
      case Tag(kSetAttributesField, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->kind = SmallKind::kSetAttributes;
        if (!ParseChange(bytes, /*has_info=*/true, answer)) return false;
        has_outcome = true;
        break;
      case Tag(kAppendField, WireType::kBytes):
        if (!reader.ReadBytes(&bytes)) return false;
        answer->kind = SmallKind::kAppend;
        if (!ParseChange(bytes, /*has_info=*/true, answer)) return false;
        has_outcome = true;
        break;
      default:
        if (!reader.Skip(tag)) return false;
    }
  }
  return has_outcome && reader.position() == size;
}

}  // namespace

void BatchMessage::Add(uint64_t item_id, const SmallRequest& request) {
  const uint32_t field = kItemField[static_cast<int>(request.kind)];
  const size_t operation_size = OperationSize(request);
  AppendBytesHeader(
      1, VarintFieldSize(1, item_id) + BytesFieldSize(field, operation_size),
      &tail_);
  AppendVarintField(1, item_id, &tail_);
  AppendBytesHeader(field, operation_size, &tail_);
  AppendOperation(request, &tail_);
  if (request.kind != SmallKind::kPut && request.kind != SmallKind::kAppend) {
    return;
  }
  if (!request.borrowed.empty()) {
    tail_.append(request.borrowed.data(), request.borrowed.size());
    return;
  }
  if (request.content.size() >= kReferencedBytesMin) {
    done_.Append(std::move(tail_));
    tail_.clear();
    done_.Append(request.content);
    return;
  }
  for (absl::string_view piece : request.content.Chunks()) {
    tail_.append(piece.data(), piece.size());
  }
}

absl::Cord BatchMessage::Take() {
  done_.Append(std::move(tail_));
  tail_.clear();
  return std::exchange(done_, absl::Cord());
}

AnswerReader::AnswerReader(const absl::Cord& message)
    : message_(message), at_(message.char_begin()) {}

absl::string_view AnswerReader::Peek(size_t size) {
  const absl::string_view rest = absl::Cord::ChunkRemaining(at_);
  if (rest.size() >= size) return rest.substr(0, size);
  scratch_.clear();
  absl::Cord::CharIterator copy = at_;
  while (scratch_.size() < size) {
    const absl::string_view piece =
        absl::Cord::ChunkRemaining(copy).substr(0, size - scratch_.size());
    scratch_.append(piece.data(), piece.size());
    absl::Cord::Advance(&copy, piece.size());
  }
  return scratch_;
}

void AnswerReader::Advance(size_t size) {
  absl::Cord::Advance(&at_, size);
  position_ += size;
}

bool AnswerReader::ReadVarint(uint64_t* value) {
  const size_t left = message_.size() - position_;
  if (left == 0) return false;
  WireReader reader(Peek(std::min<size_t>(left, 10)));
  if (!reader.ReadVarint(value)) return false;
  Advance(reader.position());
  return true;
}

AnswerReader::Result AnswerReader::Next(SmallAnswer* answer) {
  if (position_ == message_.size()) return Result::kEnd;
  uint64_t tag;
  uint64_t size;
  if (!ReadVarint(&tag) || tag != Tag(1, WireType::kBytes) ||
      !ReadVarint(&size) || size > message_.size() - position_) {
    return Result::kMalformed;
  }
  *answer = SmallAnswer();
  ContentPlace content;
  bool parsed;
  {
    // An empty answer may be the last thing in the message, and behind the end
    // there is no chunk.
    absl::string_view whole;
    if (size > 0) whole = absl::Cord::ChunkRemaining(at_);
    if (whole.size() < size) {
      whole = Peek(std::min<size_t>(size, kAnswerHeadBytes));
    } else {
      whole = whole.substr(0, size);
    }
    parsed = ParseAnswer(whole, size, answer, &content);
    if (!parsed && whole.size() < size) {
      // Long for another reason than its content: an error with much detail.
      whole = Peek(size);
      *answer = SmallAnswer();
      parsed = ParseAnswer(whole, size, answer, &content);
    }
    if (!parsed) return Result::kMalformed;
    if (content.size > 0 && content.size < kReferencedBytesMin) {
      // Copied, so that a small file that is kept does not keep the message.
      if (content.position + content.size <= whole.size()) {
        answer->content = absl::Cord(
            std::string(whole.data() + content.position, content.size));
        content.size = 0;
      }
    }
  }
  if (content.size > 0) {
    Advance(content.position);
    size -= content.position;
    if (content.size < kReferencedBytesMin) {
      const absl::string_view bytes = Peek(content.size);
      answer->content = absl::Cord(std::string(bytes.data(), bytes.size()));
    } else {
      answer->content = message_.Subcord(position_, content.size);
    }
  }
  if (size > 0) Advance(size);
  return Result::kAnswer;
}

}  // namespace client
}  // namespace cairn
