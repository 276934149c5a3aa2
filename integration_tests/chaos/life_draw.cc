#include "integration_tests/chaos/life_draw.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "integration_tests/mini_cluster/oracle.h"

namespace cairn {
namespace testing {
namespace {

using Kind = FileChange::Kind;
using Standing = FileState::Standing;

constexpr uint64_t kSmallBytesMax = 40 << 10;
constexpr uint64_t kLargeBytesMin = (1 << 20) + 1;
constexpr uint64_t kLargeBytesSpan = 1 << 20;
constexpr uint64_t kKeys = 4;

// Longer than what is stored apart from other contents to be shared.
constexpr uint64_t kSharedBytes = 70000;
constexpr uint64_t kSharedContents = 3;

// Past everything that a test lives to see.
constexpr int64_t kFarUnixSeconds = 4000000000;

FileChange Of(Kind kind) {
  FileChange change;
  change.kind = kind;
  return change;
}

}  // namespace

absl::Cord LifeDraw::Content() {
  const uint64_t size = OneIn(24) ? kLargeBytesMin + Below(kLargeBytesSpan)
                                  : Below((kSmallBytesMax >> Below(12)) + 1);
  return absl::Cord(ContentOf(random_(), static_cast<int64_t>(size)));
}

Attributes LifeDraw::SomeAttributes() {
  Attributes attributes;
  for (uint64_t i = Below(3); i > 0; --i) {
    attributes[absl::StrCat("key", Below(kKeys))] = absl::StrCat(Below(1000));
  }
  return attributes;
}

// Far from now, or never; now and then at once.
void LifeDraw::DrawExpiry(absl::optional<absl::Time>* expire_time,
                          bool* expiring) {
  if (OneIn(6)) {
    *expiring = true;
  } else if (!OneIn(3)) {
    *expire_time = absl::FromUnixSeconds(kFarUnixSeconds +
                                         static_cast<int64_t>(Below(1000000)));
  }
}

FileState LifeDraw::Made(Making making) {
  FileState made;
  made.standing = Standing::kThere;
  made.attributes = SomeAttributes();
  if (OneIn(5)) DrawExpiry(&made.expire_time, &made.expiring);
  switch (making) {
    case Making::kAppender:
      made.kind = client::FileKind::kAppender;
      made.content = absl::Cord(
          ContentOf(random_(), static_cast<int64_t>(Below(kSmallBytesMax))));
      return made;
    case Making::kInParts:
      made.content = absl::Cord(ContentOf(
          random_(),
          static_cast<int64_t>(kLargeBytesMin + Below(kLargeBytesSpan))));
      return made;
    case Making::kDerived:
      made.kind = client::FileKind::kDerived;
      break;
    case Making::kPut:
    case Making::kShared:
    case Making::kCopy:
      break;
  }
  made.content = Content();
  return made;
}

FileState LifeDraw::Shared(uint64_t content_seed, uint32_t* store_path) {
  const uint64_t which = Below(kSharedContents);
  *store_path = static_cast<uint32_t>(which % 2);
  FileState made;
  made.standing = Standing::kThere;
  made.attributes = SomeAttributes();
  made.content = absl::Cord(
      ContentOf(content_seed + which,
                static_cast<int64_t>(kSharedBytes * (1 + which * which))));
  return made;
}

FileState LifeDraw::CopyOf(const FileState& source, bool keeps_attributes) {
  FileState made;
  made.standing = Standing::kThere;
  made.content = source.content;
  made.attributes = keeps_attributes ? source.attributes : SomeAttributes();
  if (OneIn(5)) DrawExpiry(&made.expire_time, &made.expiring);
  return made;
}

FileChange LifeDraw::Description() {
  FileChange change = Of(Kind::kDescribe);
  change.description.overwrite = OneIn(4);
  change.description.set[absl::StrCat("key", Below(kKeys))] =
      absl::StrCat(random_());
  const std::string removed = absl::StrCat("key", Below(kKeys));
  if (!change.description.overwrite &&
      change.description.set.count(removed) == 0) {
    change.description.remove = {removed};
  }
  return change;
}

absl::optional<FileChange> LifeDraw::Change(const FileState& state) {
  if (state.expiring) return absl::nullopt;
  if (state.kept) {
    return Of(OneIn(4) ? Kind::kPurge : Kind::kUndelete);
  }
  if (!state.is_there()) return absl::nullopt;
  const uint64_t dice = Below(12);
  if (dice < 5 && state.kind == client::FileKind::kAppender) {
    FileChange change = Of(Kind::kAppend);
    change.appended = absl::Cord(
        ContentOf(random_(), static_cast<int64_t>(Below(kSmallBytesMax))));
    return change;
  }
  if (dice < 7 && state.kind == client::FileKind::kAppender) {
    return Of(Kind::kSeal);
  }
  if (dice < 7) return Description();
  if (dice < 9) {
    FileChange change = Of(Kind::kSetExpiry);
    DrawExpiry(&change.expire_time, &change.expiring);
    return change;
  }
  return Of(dice < 11 ? Kind::kDelete : Kind::kPurge);
}

absl::optional<FileChange> LifeDraw::Refused(const FileState& state) {
  if (state.expiring) return absl::nullopt;
  FileChange change;
  switch (Below(4)) {
    case 0:
      change = Of(Kind::kUndelete);
      break;
    case 1:
      change = Of(Kind::kAppend);
      change.appended = absl::Cord("more");
      break;
    case 2:
      change = Description();
      break;
    default:
      change = Of(Kind::kDelete);
      break;
  }
  if (Refusal(state, change) == ErrorReason::kUnspecified) return absl::nullopt;
  return change;
}

}  // namespace testing
}  // namespace cairn
