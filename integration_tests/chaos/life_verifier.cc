#include "integration_tests/chaos/life_verifier.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "integration_tests/chaos/client_load.h"
#include "integration_tests/mini_cluster/process.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"
#include "lib/base/uuid.h"

namespace cairn {
namespace testing {
namespace {

using Kind = FileChange::Kind;

// Later expiries are far away.
constexpr absl::Duration kSoon = absl::Hours(24);

absl::StatusOr<std::unique_ptr<client::Client>> ConnectTo(
    const std::string& address) {
  client::ClientOptions options;
  options.storage = address;
  options.timeout = kProcessDeadline;
  options.stall_timeout = kProcessDeadline;
  return client::Client::Connect(options);
}

// A member that does not know the request says that what it asks for is so
// already.
bool SaysThatItIsDone(const LifeCall& call, const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  switch (call.change.kind) {
    case Kind::kDelete:
    case Kind::kPurge:
      return reason == ErrorReason::kFileDeleted;
    case Kind::kUndelete:
      return reason == ErrorReason::kFileExists;
    case Kind::kSeal:
      return reason == ErrorReason::kFileSealed;
    case Kind::kAppend:
      return reason == ErrorReason::kConditionFailed &&
             MetadataOf(status)["size_bytes"] ==
                 absl::StrCat(
                     call.size_before +
                     static_cast<int64_t>(call.change.appended.size()));
    case Kind::kSetExpiry:
    case Kind::kMake:
      return (call.change.expiring || call.change.made.expiring) &&
             (reason == ErrorReason::kFileExpired ||
              reason == ErrorReason::kFileDeleted);
    case Kind::kDescribe:
      break;
  }
  return false;
}

}  // namespace

size_t LifeVerifier::WipesOf(const OwnFile& file) const {
  return static_cast<size_t>(std::count_if(
      destruction_->wiped.begin(), destruction_->wiped.end(),
      [&](const WipedPath& w) { return w.store_path == file.store_path; }));
}

std::vector<FileState> LifeVerifier::MayBe(const OwnFile& file) const {
  return file.life.MayBe([&](const FileLife::Stage& stage) {
    if (stage.replicas > 1) return false;
    return std::any_of(destruction_->wiped.begin(), destruction_->wiped.end(),
                       [&](const WipedPath& wiped) {
                         return wiped.store_path == file.store_path &&
                                wiped.node_number == stage.taken_by &&
                                stage.asked_line < wiped.to_line &&
                                stage.answered_line > wiped.from_line;
                       });
  });
}

absl::Status LifeVerifier::SettleOne(OwnFile* file, client::Client* client) {
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  file->call.client = client;
  while (true) {
    const absl::StatusOr<LifeAnswer> answer = MakeCalls({&file->call}).front();
    const absl::Status& status = answer.status();
    if (!answer.ok() && file->file_id.empty() &&
        ReasonOf(status) == ErrorReason::kFileExpired) {
      file->life.Refuse();  // It is gone, and nobody knows its name.
      return absl::OkStatus();
    }
    if (answer.ok() || SaysThatItIsDone(file->call, status)) {
      LifeAnswer taken;
      if (answer.ok()) {
        taken = *answer;
      } else {
        taken.info.file_id = file->call.change.kind == Kind::kSeal
                                 ? MetadataOf(status)["file_id"]
                                 : file->file_id;
        taken.replicas = 1;
      }
      load_->TakeAnswer(file, taken);
      ++verified_.settled;
      return absl::OkStatus();
    }
    if (ReasonOf(status) == ErrorReason::kInsufficientReplicas &&
        !destruction_->wiped.empty()) {
      // All know of it, and who alone had its content lost its disk.
      return absl::OkStatus();
    }
    if (file->call.change.kind == Kind::kUndelete &&
        ReasonOf(status) == ErrorReason::kContentNotHere &&
        WipesOf(*file) > 0) {
      // Its home lost what the deletion had kept, and says that another member
      // may have it. If none has, the file stays as it is.
      if (client == load_->client()) return absl::OkStatus();
      client = load_->client();
      file->call.client = client;
      continue;
    }
    if (ReasonOf(status) == ErrorReason::kUploadNotFound &&
        !destruction_->wiped.empty()) {
      file->call.upload = {};
    } else if (!MayHappenToAChange(status)) {
      return WithContext(
          status,
          absl::StrCat(NameOf(file->call.change.kind), " of ", file->label, " ",
                       file->file_id, ", repeated when all was well"));
    }
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(file->label, " ", file->file_id,
                       ": a change is not answered: ", status.ToString()));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

// Its home knows what it was; another member may have heard of its deletion and
// not of the change before (docs/known_issues.md). Whoever has kept its content
// gives it to all.
absl::Status LifeVerifier::BringBack(OwnFile* file) {
  const std::vector<FileState> states = MayBe(*file);
  if (states.size() != 1) return absl::OkStatus();
  client::Client* const home =
      file->home >= 0 ? load_->member_client(file->home) : load_->client();
  client::UndeleteOptions options;
  options.request_id = Uuid::Random();
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  while (true) {
    const absl::StatusOr<client::UndeleteResult> back =
        home->Undelete(file->file_id, options);
    if (back.ok()) {
      FileChange change;
      change.kind = Kind::kUndelete;
      load_->Settle(file, After(states.front(), change), file->set_aside);
      ++verified_.brought;
      return absl::OkStatus();
    }
    // The only one that had kept it may have lost its disk.
    if (ReasonOf(back.status()) == ErrorReason::kContentNotHere &&
        WipesOf(*file) > 0) {
      ++verified_.lost;
      return absl::OkStatus();
    }
    if (!MayHappenToAChange(back.status()) || absl::Now() > deadline) {
      return WithContext(back.status(),
                         absl::StrCat(file->label, " ", file->file_id,
                                      ", which is kept, is not brought back"));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

absl::Status LifeVerifier::Settle() {
  int64_t turn = 0;
  for (OwnFile* file : load_->files()) {
    ++turn;
    if (!file->life.is_open()) continue;
    if (file->follows) continue;
    const FileChange& change = file->life.open();
    const bool is_new = file->file_id.empty();
    // What expires is waited for; and what an appender became has a name that
    // only the answer tells.
    const bool must_be_known = is_new || change.expiring ||
                               change.made.expiring ||
                               change.kind == Kind::kSeal;
    if (!must_be_known && turn % 2 == 0) continue;
    client::Client* client = load_->client();
    if (file->home >= 0) {
      const bool elsewhere =
          turn % 4 == 1 &&
          (change.kind == Kind::kDescribe || change.kind == Kind::kDelete ||
           change.kind == Kind::kPurge) &&
          file->life.now().kind != client::FileKind::kAppender;
      client = load_->member_client(
          elsewhere ? (file->home + 1) % load_->members() : file->home);
    }
    CAIRN_RETURN_IF_ERROR(SettleOne(file, client));
  }
  for (OwnFile* file : load_->files()) {
    // One that was set aside may have been purged before all were alike: nobody
    // who looks at it can tell.
    if (++turn % 3 != 0 || file->life.is_open() || file->set_aside ||
        !file->life.now().kept) {
      continue;
    }
    CAIRN_RETURN_IF_ERROR(BringBack(file));
  }
  return absl::OkStatus();
}

absl::Status LifeVerifier::AwaitExpired(
    const std::vector<std::string>& addresses, bool reclaimed) {
  std::vector<std::string> ids;
  for (const OwnFile* file : load_->files()) {
    if (file->file_id.empty()) continue;
    const std::vector<FileState> states = MayBe(*file);
    if (std::any_of(states.begin(), states.end(), [](const FileState& state) {
          return state.is_there() && state.expiring;
        })) {
      ids.push_back(file->file_id);
    }
  }
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  for (const std::string& address : addresses) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                           ConnectTo(address));
    for (const std::string& id : ids) {
      while (true) {
        const absl::StatusOr<client::FileInfo> info = client->Stat(id);
        const ErrorReason reason = ReasonOf(info.status());
        if (reason == ErrorReason::kFileDeleted ||
            reason == ErrorReason::kFileNotFound ||
            (reason == ErrorReason::kFileExpired && !reclaimed) ||
            (info.ok() && info->expire_time.value_or(absl::InfiniteFuture()) >
                              absl::Now() + kSoon)) {
          break;
        }
        if (absl::Now() > deadline) {
          return absl::DeadlineExceededError(
              absl::StrCat(id, ": not expired and reclaimed at ", address, ": ",
                           info.status().ToString()));
        }
        absl::SleepFor(absl::Milliseconds(50));
      }
    }
  }
  return absl::OkStatus();
}

void LifeVerifier::BeginChecks() {
  for (OwnFile* file : load_->files()) {
    if (file->file_id.empty()) continue;
    Check check;
    check.file = file;
    check.states = MayBe(*file);
    check.possible.assign(check.states.size(), true);
    if (check.states.size() > 1) ++verified_.in_doubt;
    checks_.push_back(std::move(check));
  }
}

absl::Status LifeVerifier::CheckAt(int member, const std::string& address) {
  if (checks_.empty()) BeginChecks();
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client,
                         ConnectTo(address));
  std::vector<std::string> ids;
  for (const Check& check : checks_) ids.push_back(check.file->file_id);
  const std::vector<Seen> seen = ReadAll(client.get(), ids);
  for (size_t i = 0; i < checks_.size(); ++i) {
    Check& check = checks_[i];
    bool any = false;
    std::string differences;
    for (size_t j = 0; j < check.states.size(); ++j) {
      const std::string difference = Difference(seen[i], check.states[j]);
      absl::StrAppend(&differences, "; from ", Describe(check.states[j]), ": ",
                      difference);
      if (!difference.empty()) check.possible[j] = false;
      any = any || check.possible[j];
    }
    absl::StrAppend(&check.account, "\n  at member ", member, differences);
    if (!any) {
      return absl::DataLossError(absl::StrCat("life ", check.file->label, " ",
                                              ids[i],
                                              " is none of what it may "
                                              "be: it differs",
                                              check.account));
    }
    ++(seen[i].status.ok() ? verified_.copies : verified_.gone);
  }
  for (const Check& check : checks_) {
    // Also of a file that is deleted itself.
    const FileState& state = check.states.front();
    if (check.file->derived.empty() || check.states.size() > 1 ||
        state.expiring || state.standing == FileState::Standing::kSealed) {
      continue;
    }
    CAIRN_RETURN_IF_ERROR(
        WithContext(CheckDerived(*check.file, client.get()),
                    absl::StrCat("life ", check.file->label, " at member ",
                                 member, ", derived files")));
  }
  return absl::OkStatus();
}

absl::optional<bool> LifeVerifier::IsThere(const Check& check) {
  absl::optional<bool> there;
  for (size_t i = 0; i < check.states.size(); ++i) {
    if (!check.possible[i]) continue;
    const FileState& state = check.states[i];
    const bool one = state.is_there() && !state.expiring;
    if (there.value_or(one) != one) return absl::nullopt;
    there = one;
  }
  return there;
}

absl::Status LifeVerifier::CheckDerived(const OwnFile& master,
                                        client::Client* client) {
  CAIRN_ASSIGN_OR_RETURN(const client::ListDerivedResult listed,
                         client->ListDerived(master.file_id, {}));
  std::set<std::string> named;
  for (const client::FileInfo& info : listed.files) named.insert(info.file_id);
  for (const Check& check : checks_) {
    if (check.file->master != &master) continue;
    const std::string& id = check.file->file_id;
    const bool is_named = named.erase(id) > 0;
    if (IsThere(check).value_or(is_named) != is_named) {
      return absl::DataLossError(
          absl::StrCat(id, is_named ? ": named" : ": not named"));
    }
  }
  if (named.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(*named.begin(), ": nobody made it"));
}

void LifeVerifier::Conclude() {
  for (const Check& check : checks_) {
    const auto first =
        std::find(check.possible.begin(), check.possible.end(), true);
    // Several that look alike, kept and not kept: nothing can be said of what
    // is done to it next.
    const bool is_known =
        std::count(check.possible.begin(), check.possible.end(), true) == 1;
    const auto index = static_cast<size_t>(first - check.possible.begin());
    load_->Settle(check.file, check.states[index], !is_known);
  }
}

std::set<std::string> LifeVerifier::file_ids() const {
  std::set<std::string> ids;
  for (const Check& check : checks_) ids.insert(check.file->file_id);
  return ids;
}

std::set<std::string> LifeVerifier::there() const {
  std::set<std::string> ids;
  for (const Check& check : checks_) {
    if (IsThere(check).value_or(false)) ids.insert(check.file->file_id);
  }
  return ids;
}

}  // namespace testing
}  // namespace cairn
