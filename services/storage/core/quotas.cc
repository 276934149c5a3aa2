#include "services/storage/core/quotas.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace storage {
namespace {

// `who` is how a message calls whose quota it is, `quota` how metadata does.
absl::Status CheckQuota(absl::string_view who, absl::string_view quota,
                        const Quota& limit, const FileUse& use,
                        const FileUse& more) {
  const auto exceeded = [&](absl::string_view unit, uint64_t most,
                            int64_t held) {
    return ErrorWithReason(
        absl::StatusCode::kResourceExhausted, ErrorReason::kQuotaExceeded,
        absl::StrCat(who, " may have ", most, " ", unit, " and has ", held,
                     ": delete some, or have an operator raise the quota"),
        {{"quota", std::string(quota)},
         {absl::StrCat("limit_", unit), absl::StrCat(most)}});
  };
  // Neither is ever near the end of its range, nor below 0 for long.
  const auto fits = [](uint64_t most, int64_t held, int64_t wanted) {
    return most == 0 || wanted <= 0 ||
           static_cast<uint64_t>(std::max<int64_t>(held, 0) + wanted) <= most;
  };
  if (!fits(limit.files, use.files, more.files)) {
    return exceeded("files", limit.files, use.files);
  }
  if (!fits(limit.bytes, use.bytes, more.bytes)) {
    return exceeded("bytes", limit.bytes, use.bytes);
  }
  return absl::OkStatus();
}

}  // namespace

void Quotas::SetLimits(QuotaLimits limits) {
  MutexLock lock(&mu_);
  limits_ = std::move(limits);
}

void Quotas::CountIn(const UseTotals& files) {
  MutexLock lock(&mu_);
  use_.Add(files, 1);
}

void Quotas::CountOut(const UseTotals& files) {
  MutexLock lock(&mu_);
  use_.Add(files, -1);
}

absl::Status Quotas::CheckLocked(absl::string_view owner,
                                 const FileUse& more) const {
  if (!owner.empty() && !limits_.clients.empty()) {
    const auto limit = limits_.clients.find(owner);
    if (limit != limits_.clients.end()) {
      CAIRN_RETURN_IF_ERROR(
          CheckQuota(absl::StrCat("client `", owner, "` in group ", group_),
                     "client", limit->second, use_.OfOwner(owner), more));
    }
  }
  return CheckQuota(absl::StrCat("group ", group_), "group", limits_.group,
                    use_.all, more);
}

absl::Status Quotas::Check(absl::string_view owner, const FileUse& more) const {
  MutexLock lock(&mu_);
  return CheckLocked(owner, more);
}

absl::Status Quotas::Take(absl::string_view owner, const FileUse& more) {
  MutexLock lock(&mu_);
  CAIRN_RETURN_IF_ERROR(CheckLocked(owner, more));
  use_.Add(owner, more);
  return absl::OkStatus();
}

void Quotas::Settle(const UseTotals& made, const UseTotals& taken) {
  MutexLock lock(&mu_);
  use_.Add(made, 1);
  use_.Add(taken, -1);
}

FileUse Quotas::Use() const {
  MutexLock lock(&mu_);
  return use_.all;
}

Quota Quotas::Limit() const {
  MutexLock lock(&mu_);
  return limits_.group;
}

std::vector<Quotas::ClientUse> Quotas::ListClients(absl::string_view after,
                                                   size_t limit) const {
  std::vector<ClientUse> clients;
  MutexLock lock(&mu_);
  auto use = use_.owners.upper_bound(after);
  auto quota = limits_.clients.upper_bound(after);
  while (clients.size() < limit) {
    const bool has_use = use != use_.owners.end();
    const bool has_quota = quota != limits_.clients.end();
    if (!has_use && !has_quota) break;
    ClientUse client;
    client.client = !has_quota                  ? use->first
                    : !has_use                  ? quota->first
                    : use->first < quota->first ? use->first
                                                : quota->first;
    if (has_use && use->first == client.client) client.use = (use++)->second;
    if (has_quota && quota->first == client.client) {
      client.quota = (quota++)->second;
    }
    clients.push_back(std::move(client));
  }
  return clients;
}

}  // namespace storage
}  // namespace cairn
