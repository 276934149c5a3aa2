#include "lib/io/fault_rules.h"

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cairn {
namespace {

struct NamedOperation {
  FileOperation operation;
  absl::string_view name;
};

constexpr NamedOperation kOperations[] = {
    {FileOperation::kOpen, "open"},
    {FileOperation::kCreate, "create"},
    {FileOperation::kRead, "read"},
    {FileOperation::kWrite, "write"},
    {FileOperation::kSync, "sync"},
    {FileOperation::kAllocate, "allocate"},
    {FileOperation::kTruncate, "truncate"},
    {FileOperation::kRename, "rename"},
    {FileOperation::kRemove, "remove"},
    {FileOperation::kCreateDirectory, "create_directory"},
    {FileOperation::kRemoveDirectory, "remove_directory"},
    {FileOperation::kSyncDirectory, "sync_directory"},
    {FileOperation::kList, "list"},
    {FileOperation::kStat, "stat"},
    {FileOperation::kSpace, "space"},
    {FileOperation::kLock, "lock"},
};

// What disks say; other errors can be given as a number.
constexpr std::pair<absl::string_view, int> kErrors[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},
    {"EROFS", EROFS},   {"ENOENT", ENOENT}, {"EACCES", EACCES},
    {"EMFILE", EMFILE}, {"ENOMEM", ENOMEM},
};

absl::StatusOr<FileOperations> ParseOperations(absl::string_view text) {
  if (text == "*") return kAllOperations;
  FileOperations operations = 0;
  for (absl::string_view name : absl::StrSplit(text, '|')) {
    FileOperations found = 0;
    for (const NamedOperation& named : kOperations) {
      if (name == named.name) found = found | named.operation;
    }
    if (found == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("no such operation: '", name, "'"));
    }
    operations |= found;
  }
  return operations;
}

absl::StatusOr<int> ParseError(absl::string_view text) {
  for (const auto& [name, error] : kErrors) {
    if (text == name) return error;
  }
  int error = 0;
  if (absl::SimpleAtoi(text, &error) && error > 0) return error;
  return absl::InvalidArgumentError(
      absl::StrCat("no such error: '", text, "'"));
}

bool Matches(const FaultRule& rule, FileOperation operation,
             absl::string_view path, int64_t offset, int64_t size) {
  if (!Contains(rule.operations, operation)) return false;
  if (!absl::StrContains(path, rule.path_part)) return false;
  if (operation != FileOperation::kRead && operation != FileOperation::kWrite) {
    return true;
  }
  // Written so that neither side can overflow.
  return offset < rule.offset ? rule.offset - offset < size
                              : offset - rule.offset < rule.size;
}

}  // namespace

absl::string_view FileOperationName(FileOperation operation) {
  for (const NamedOperation& named : kOperations) {
    if (operation == named.operation) return named.name;
  }
  return "unknown";
}

absl::StatusOr<FaultRule> ParseFaultRule(absl::string_view text) {
  const auto bad = [text](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "fault rule '", text, "': ", why,
        "; it should look like sync:segments/=EIO@3 or write=ENOSPC@1+"));
  };
  // From the right: a path may contain any of the separators.
  const size_t equals = text.rfind('=');
  if (equals == absl::string_view::npos) return bad("no '='");
  const absl::string_view what = text.substr(0, equals);
  absl::string_view when = text.substr(equals + 1);

  FaultRule rule;
  const size_t colon = what.find(':');
  if (colon != absl::string_view::npos) {
    rule.path_part = std::string(what.substr(colon + 1));
  }
  const auto operations = ParseOperations(what.substr(0, colon));
  if (!operations.ok()) return bad(operations.status().message());
  rule.operations = *operations;

  const size_t at = when.find('@');
  if (at != absl::string_view::npos) {
    absl::string_view count = when.substr(at + 1);
    if (absl::ConsumeSuffix(&count, "+")) rule.times = FaultRule::kForever;
    if (!absl::SimpleAtoi(count, &rule.nth) || rule.nth == 0) {
      return bad("after '@' comes a number from 1 on");
    }
    when = when.substr(0, at);
  }
  const auto error = ParseError(when);
  if (!error.ok()) return bad(error.status().message());
  rule.error = *error;
  return rule;
}

void FaultRules::Add(FaultRule rule) {
  MutexLock lock(&mu_);
  rules_.push_back({std::move(rule), 0});
}

void FaultRules::Clear() {
  MutexLock lock(&mu_);
  rules_.clear();
}

int FaultRules::Check(FileOperation operation, absl::string_view path,
                      int64_t offset, int64_t size) {
  MutexLock lock(&mu_);
  int error = 0;
  for (Counted& counted : rules_) {
    const FaultRule& rule = counted.rule;
    if (!Matches(rule, operation, path, offset, size)) continue;
    ++counted.matched;
    if (counted.matched < rule.nth) continue;
    if (counted.matched - rule.nth >= rule.times) continue;
    if (error == 0) error = rule.error;
  }
  return error;
}

}  // namespace cairn
