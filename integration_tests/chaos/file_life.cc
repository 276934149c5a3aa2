#include "integration_tests/chaos/file_life.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/check.h"

namespace cairn {
namespace testing {
namespace {

using Kind = FileChange::Kind;
using Standing = FileState::Standing;

// Why it is not there.
ErrorReason Absence(const FileState& state) {
  switch (state.standing) {
    case Standing::kNone:
      return ErrorReason::kFileNotFound;
    case Standing::kDeleted:
      return ErrorReason::kFileDeleted;
    case Standing::kSealed:
      return ErrorReason::kFileSealed;
    case Standing::kThere:
      break;
  }
  return ErrorReason::kUnspecified;
}

void Describe(const AttributeChange& change, Attributes* attributes) {
  if (change.overwrite) attributes->clear();
  for (const std::string& key : change.remove) attributes->erase(key);
  for (const auto& [key, value] : change.set) (*attributes)[key] = value;
}

}  // namespace

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kMake:
      return "make";
    case Kind::kAppend:
      return "append";
    case Kind::kDescribe:
      return "describe";
    case Kind::kSetExpiry:
      return "set expiry";
    case Kind::kDelete:
      return "delete";
    case Kind::kPurge:
      return "purge";
    case Kind::kUndelete:
      return "undelete";
    case Kind::kSeal:
      return "seal";
  }
  return "";
}

std::string Describe(const FileState& state) {
  switch (state.standing) {
    case Standing::kNone:
      return "none";
    case Standing::kDeleted:
      return state.kept ? "deleted, kept" : "deleted";
    case Standing::kSealed:
      return absl::StrCat("sealed as ", state.sealed_as);
    case Standing::kThere:
      break;
  }
  return absl::StrCat(
      "there, ", state.content.size(), " bytes, {",
      absl::StrJoin(state.attributes, ",", absl::PairFormatter("=")), "}",
      state.expiring                  ? ", expiring"
      : state.expire_time.has_value() ? ", until "
                                      : "",
      state.expire_time.has_value() ? absl::FormatTime(*state.expire_time)
                                    : "");
}

ErrorReason Refusal(const FileState& before, const FileChange& change) {
  switch (change.kind) {
    case Kind::kMake:
      // The same once more is no error.
      return before.is_there() && before.content != change.made.content
                 ? ErrorReason::kFileExists
                 : ErrorReason::kUnspecified;
    case Kind::kAppend:
    case Kind::kSeal:
      if (before.is_there() && before.kind != client::FileKind::kAppender) {
        return ErrorReason::kNotAnAppender;
      }
      return Absence(before);
    case Kind::kDescribe:
    case Kind::kSetExpiry:
    case Kind::kDelete:
      return Absence(before);
    case Kind::kPurge:
      return before.kept ? ErrorReason::kUnspecified : Absence(before);
    case Kind::kUndelete:
      if (before.is_there()) return ErrorReason::kFileExists;
      return before.kept ? ErrorReason::kUnspecified : Absence(before);
  }
  return ErrorReason::kUnspecified;
}

FileState After(FileState before, const FileChange& change) {
  switch (change.kind) {
    case Kind::kMake:
      return before.is_there() ? before : change.made;
    case Kind::kAppend:
      before.content.Append(change.appended);
      return before;
    case Kind::kDescribe:
      Describe(change.description, &before.attributes);
      return before;
    case Kind::kSetExpiry:
      before.expire_time = change.expire_time;
      before.expiring = change.expiring;
      return before;
    case Kind::kDelete:
      before.standing = Standing::kDeleted;
      before.kept = true;
      return before;
    case Kind::kPurge: {
      FileState purged;
      purged.standing = Standing::kDeleted;
      purged.kind = before.kind;
      return purged;
    }
    case Kind::kUndelete:
      before.standing = Standing::kThere;
      before.kept = false;
      return before;
    case Kind::kSeal:
      before.standing = Standing::kSealed;
      return before;
  }
  return before;
}

void FileLife::Ask(FileChange change, int64_t line) {
  CAIRN_CHECK_MSG(!open_.has_value(), "one change after the other");
  CAIRN_CHECK_MSG(Refusal(now(), change) == ErrorReason::kUnspecified,
                  Describe(now()));
  open_ = std::move(change);
  asked_line_ = line;
}

void FileLife::Answer(const Answered& answered,
                      const std::function<void(FileState*)>& learned) {
  Stage stage;
  stage.state = After(now(), *open_);
  stage.replicas = answered.replicas;
  stage.taken_by = answered.taken_by;
  stage.asked_line = asked_line_;
  stage.answered_line = answered.line;
  if (learned != nullptr) learned(&stage.state);
  stages_.push_back(std::move(stage));
  open_.reset();
}

std::vector<FileState> FileLife::MayBe(
    const std::function<bool(const Stage&)>& may_be_lost) const {
  std::vector<FileState> states;
  // Who has a stage has all that was done before.
  for (size_t i = stages_.size(); i-- > 0;) {
    states.push_back(stages_[i].state);
    if (!clouded_ && (i == 0 || !may_be_lost(stages_[i]))) break;
  }
  if (!open_.has_value()) return states;
  const size_t without = states.size();
  for (size_t i = 0; i < (clouded_ ? without : 1); ++i) {
    if (Refusal(states[i], *open_) != ErrorReason::kUnspecified) continue;
    states.push_back(After(states[i], *open_));
  }
  return states;
}

void FileLife::Settle(FileState state) {
  Stage stage;
  stage.state = std::move(state);
  // None of them can lose it alone.
  stage.replicas = UINT32_MAX;
  stages_ = {std::move(stage)};
  open_.reset();
  clouded_ = false;
}

}  // namespace testing
}  // namespace cairn
