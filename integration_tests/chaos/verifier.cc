#include "integration_tests/chaos/verifier.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cairn/storage/v1/node_service.pb.h"
#include "integration_tests/chaos/census.h"
#include "integration_tests/mini_cluster/process.h"
#include "integration_tests/mini_cluster/storage_stub.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/file_id/file_id.h"

namespace cairn {
namespace testing {
namespace {

namespace wire = ::cairn::storage::v1;

constexpr int kReaders = 4;

// Heads travel with heartbeats, one each second: what is said for so long is no
// stale word.
constexpr absl::Duration kQuietFor = absl::Milliseconds(1500);

// A content that nobody has any more is looked for again and again, with
// seconds in between.
constexpr absl::Duration kLostFor = absl::Seconds(15);

absl::Status Broken(absl::string_view file_id, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(file_id, ": ", what));
}

// Empty if all is quiet; else the first thing that is not. `missing` becomes
// whether contents are missing, as many at each member.
std::string WhatIsNotQuiet(
    const std::vector<std::unique_ptr<StorageStub>>& stubs, bool* missing) {
  *missing = false;
  std::vector<wire::GetStateResponse> states;
  std::set<std::string> members;
  for (const auto& stub : stubs) {
    auto state = stub->State();
    if (!state.ok()) return std::string(state.status().message());
    members.insert(state->node_uuid());
    states.push_back(*std::move(state));
  }
  std::map<uint32_t, int64_t> files;
  std::map<uint32_t, uint64_t> contents;
  for (const wire::GetStateResponse& state : states) {
    for (const auto& path : state.store_paths()) {
      const std::string where =
          absl::StrCat(state.name(), " path ", path.index(), ": ");
      const auto& replication = path.replication();
      if (path.state() != wire::STORE_PATH_STATE_ACTIVE ||
          !replication.caught_up() || replication.snapshot_running() ||
          contents.emplace(path.index(), replication.missing_contents())
                  .first->second != replication.missing_contents()) {
        return absl::StrCat(where, path.ShortDebugString());
      }
      if (replication.missing_contents() > 0) *missing = true;
      size_t current = 0;
      for (const auto& peer : replication.peers()) {
        if (members.count(peer.node_uuid()) == 0) continue;
        ++current;
        if (!peer.pulling() || peer.behind_changes() > 0 ||
            peer.peer_behind_changes() > 0) {
          return absl::StrCat(where, path.ShortDebugString());
        }
      }
      if (current != stubs.size() - 1) {
        return absl::StrCat(where, "knows ", current, " of ", stubs.size() - 1,
                            " other members");
      }
      const auto [it, first] = files.emplace(path.index(), path.files());
      if (!first && it->second != path.files()) {
        return absl::StrCat(where, path.files(), " files, another member ",
                            it->second);
      }
    }
  }
  return "";
}

// Whether a file that was acknowledged may be gone: only the wiped path had it.
bool MayBeLost(const ExpectedFile& file, const Destruction& destruction) {
  if (file.replicas > 1) return false;
  const absl::StatusOr<FileIdParts> parts = ParseFileId(file.file_id);
  if (!parts.ok()) return false;
  const absl::StatusOr<FileIdFields> fields = DecodeFileName(parts->name);
  if (!fields.ok()) return false;
  return std::any_of(destruction.wiped.begin(), destruction.wiped.end(),
                     [&](const WipedPath& wiped) {
                       return wiped.store_path == parts->store_path &&
                              wiped.node_number == fields->node_number &&
                              file.put_line < wiped.to_line &&
                              file.stored_line > wiped.from_line;
                     });
}

// The same for a delete. Which member took it is not known.
bool MayBeUndone(const ExpectedFile& file, const Destruction& destruction) {
  if (file.delete_replicas > 1) return false;
  const absl::StatusOr<FileIdParts> parts = ParseFileId(file.file_id);
  if (!parts.ok()) return false;
  return std::any_of(destruction.wiped.begin(), destruction.wiped.end(),
                     [&](const WipedPath& wiped) {
                       return wiped.store_path == parts->store_path &&
                              file.delete_line < wiped.to_line &&
                              file.deleted_line > wiped.from_line;
                     });
}

enum class Found { kThere, kNotThere, kDamaged };

// What the member has, with nobody to help it.
absl::StatusOr<Found> Look(StorageStub* stub, const ExpectedFile& file) {
  const absl::StatusOr<std::string> content = stub->Get(file.file_id);
  const ErrorReason reason = ReasonOf(content.status());
  if (absl::IsNotFound(content.status()) ||
      reason == ErrorReason::kContentNotHere) {
    return Found::kNotThere;
  }
  if (reason == ErrorReason::kContentDamaged) return Found::kDamaged;
  CAIRN_RETURN_IF_ERROR(WithContext(content.status(), file.file_id));
  if (*content != file.Content()) return Broken(file.file_id, "other bytes");
  return Found::kThere;
}

// All files as one member has them.
absl::StatusOr<std::vector<Found>> LookAtAll(
    const std::string& address, const std::vector<ExpectedFile>& files) {
  StorageStub stub(address);
  std::vector<Found> found(files.size(), Found::kNotThere);
  std::atomic<size_t> next{0};
  Mutex mu;
  absl::Status failed;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      for (size_t at = next++; at < files.size(); at = next++) {
        const absl::StatusOr<Found> one = Look(&stub, files[at]);
        MutexLock lock(&mu);
        if (one.ok()) found[at] = *one;
        failed.Update(one.status());
        if (!failed.ok()) return;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  CAIRN_RETURN_IF_ERROR(failed);
  return found;
}

// Judges one file at one member.
absl::Status Judge(const ExpectedFile& file, Found found, int member,
                   const Destruction& destruction, ChaosVerified* verified) {
  const std::string at = absl::StrCat(" at member ", member);
  if (file.deletion == ExpectedFile::Deletion::kDeleted) {
    if (found == Found::kNotThere) {
      ++verified->gone;
      return absl::OkStatus();
    }
    if (MayBeUndone(file, destruction)) return absl::OkStatus();
    return Broken(file.file_id, absl::StrCat("deleted and there again", at));
  }
  switch (found) {
    case Found::kThere:
      ++verified->read_back;
      return absl::OkStatus();
    case Found::kNotThere:
      if (MayBeLost(file, destruction)) return absl::OkStatus();
      return Broken(file.file_id,
                    absl::StrCat("acknowledged by ", file.replicas,
                                 " members and not there", at));
    case Found::kDamaged:
      break;
  }
  return Broken(file.file_id, absl::StrCat("damaged", at));
}

// Every member reads all that it has, and mends what is damaged from the
// others. Returns how many copies were.
absl::StatusOr<int64_t> MendAll(MiniCluster* cluster) {
  int64_t damaged = 0;
  for (int member = 0; member < cluster->storages(); ++member) {
    const std::string& address = cluster->storage(member)->address();
    StorageStub stub(address);
    CAIRN_ASSIGN_OR_RETURN(const wire::GetStateResponse state, stub.State());
    for (const wire::StorePathStatus& path : state.store_paths()) {
      CAIRN_ASSIGN_OR_RETURN(const wire::ScrubReport report,
                             stub.Scrub(path.index()));
      damaged += report.damaged();
    }
    // One that a reader has found just before may still be under way.
    const absl::Time deadline = absl::Now() + kProcessDeadline;
    while (true) {
      CAIRN_ASSIGN_OR_RETURN(const wire::GetStateResponse now, stub.State());
      std::string left;
      for (const wire::StorePathStatus& path : now.store_paths()) {
        if (path.upkeep().damaged_files() == 0) continue;
        absl::StrAppend(&left, " ", path.upkeep().ShortDebugString());
      }
      if (left.empty()) break;
      if (absl::Now() > deadline) {
        return absl::DataLossError(
            absl::StrCat("member ", member, " did not mend:", left));
      }
      absl::SleepFor(absl::Milliseconds(50));
    }
  }
  return damaged;
}

// Whether one of the members has it, when all must be alike.
absl::StatusOr<bool> Alike(const ExpectedFile& file,
                           const std::vector<Found>& by_member) {
  const bool there = by_member.front() != Found::kNotThere;
  for (const Found found : by_member) {
    if ((found != Found::kNotThere) != there) {
      return Broken(file.file_id, "some members have it and some have not");
    }
  }
  return there;
}

absl::Status SettlePut(const ExpectedFile& file, StorageStub* stub,
                       bool may_be_lost, Oracle* oracle) {
  const std::string content = file.Content();
  const absl::StatusOr<StoredFile> first = stub->Put(file.put_request, content);
  if (may_be_lost &&
      ReasonOf(first.status()) == ErrorReason::kInsufficientReplicas) {
    // All know of it, and the only one that had its content lost its disk.
    oracle->Refused(file.put_request);
    return absl::OkStatus();
  }
  CAIRN_RETURN_IF_ERROR(first.status());
  CAIRN_ASSIGN_OR_RETURN(const StoredFile second,
                         stub->Put(file.put_request, content));
  // Two of an earlier time may be told in turn (ChaosVerified::unclaimed).
  if (!second.replayed ||
      (second.file_id != first->file_id && !first->replayed)) {
    return Broken(
        second.file_id,
        absl::StrCat("a repeated request made it beside ", first->file_id));
  }
  oracle->Stored(file.put_request, first->file_id, first->replicas);
  return absl::OkStatus();
}

absl::Status SettleDelete(const ExpectedFile& file, StorageStub* stub,
                          Oracle* oracle) {
  const absl::Status deleted =
      stub->Delete(file.delete_request, file.file_id).status();
  // It may have been lost before, or deleted and the answer to the repetition
  // with it.
  if (!deleted.ok() && !absl::IsNotFound(deleted)) {
    return WithContext(deleted, file.file_id);
  }
  oracle->Deleted(file.delete_request);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint32_t> NodeNumberOf(const std::string& address) {
  StorageStub stub(address);
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  absl::StatusOr<wire::GetStateResponse> state = stub.State();
  while (absl::IsUnavailable(state.status()) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(50));
    state = stub.State();
  }
  CAIRN_RETURN_IF_ERROR(state.status());
  return state->node_number();
}

absl::Status AwaitQuiet(const std::vector<std::string>& addresses,
                        bool may_be_lost) {
  std::vector<std::unique_ptr<StorageStub>> stubs;
  for (const std::string& address : addresses) {
    stubs.push_back(std::make_unique<StorageStub>(address));
  }
  const absl::Time deadline = absl::Now() + kProcessDeadline;
  absl::Time quiet_since = absl::InfiniteFuture();
  absl::Time missing_since = absl::InfiniteFuture();
  while (true) {
    bool missing = false;
    std::string why = WhatIsNotQuiet(stubs, &missing);
    const absl::Time now = absl::Now();
    missing_since =
        missing ? std::min(missing_since, now) : absl::InfiniteFuture();
    if (why.empty() && missing &&
        (!may_be_lost || now - missing_since < kLostFor)) {
      why = "contents are missing at all members";
    }
    quiet_since =
        why.empty() ? std::min(quiet_since, now) : absl::InfiniteFuture();
    if (now - quiet_since >= kQuietFor) return absl::OkStatus();
    if (now > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the members are not alike: ", why));
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
}

absl::StatusOr<int64_t> SettleUnanswered(
    Oracle* oracle, const std::vector<std::string>& addresses,
    bool may_be_lost) {
  std::vector<std::unique_ptr<StorageStub>> stubs;
  for (const std::string& address : addresses) {
    stubs.push_back(std::make_unique<StorageStub>(address));
  }
  int64_t settled = 0;
  for (const ExpectedFile& file : oracle->Files()) {
    StorageStub* const stub =
        stubs[static_cast<size_t>(settled) % stubs.size()].get();
    if (file.put == ExpectedFile::Put::kUnanswered) {
      CAIRN_RETURN_IF_ERROR(SettlePut(file, stub, may_be_lost, oracle));
      ++settled;
    } else if (file.deletion == ExpectedFile::Deletion::kUnanswered) {
      CAIRN_RETURN_IF_ERROR(SettleDelete(file, stub, oracle));
      ++settled;
    }
  }
  return settled;
}

absl::StatusOr<ChaosVerified> VerifyEachMember(
    MiniCluster* cluster, Oracle* oracle, ChangeLoad* changes,
    LifeVerifier* lives, const Destruction& destruction,
    const std::vector<Suspicion>& suspicions) {
  ChaosVerified verified;
  CAIRN_ASSIGN_OR_RETURN(verified.mended, MendAll(cluster));
  const std::vector<ExpectedFile> files = oracle->Files();
  std::vector<std::vector<Found>> by_file(files.size());
  std::vector<int64_t> counts;
  std::vector<Census> censuses;
  for (int member = 0; member < cluster->storages(); ++member) {
    for (int other = 0; other < cluster->storages(); ++other) {
      if (other != member) cluster->storage(other)->Kill();
    }
    const std::string& address = cluster->storage(member)->address();
    CAIRN_ASSIGN_OR_RETURN(const std::vector<Found> found,
                           LookAtAll(address, files));
    for (size_t i = 0; i < files.size(); ++i) {
      CAIRN_RETURN_IF_ERROR(
          Judge(files[i], found[i], member, destruction, &verified));
      by_file[i].push_back(found[i]);
    }
    StorageStub stub(address);
    CAIRN_RETURN_IF_ERROR(
        WithContext(changes->CheckAt(&stub), absl::StrCat("member ", member)));
    CAIRN_RETURN_IF_ERROR(lives->CheckAt(member, address));
    CAIRN_ASSIGN_OR_RETURN(const int64_t count, stub.Files());
    counts.push_back(count);
    CAIRN_ASSIGN_OR_RETURN(Census census, TakeCensus(address));
    censuses.push_back(std::move(census));
    for (int other = 0; other < cluster->storages(); ++other) {
      if (other != member) {
        CAIRN_RETURN_IF_ERROR(cluster->storage(other)->Start());
      }
    }
  }

  std::set<std::string> there_in_all = lives->there();
  std::set<std::string> known = lives->file_ids();
  for (std::string& id : changes->file_ids()) {
    there_in_all.insert(id);
    known.insert(std::move(id));
  }
  std::map<std::string, const ExpectedFile*> by_id;
  for (size_t i = 0; i < files.size(); ++i) {
    CAIRN_ASSIGN_OR_RETURN(const bool there, Alike(files[i], by_file[i]));
    by_id[files[i].file_id] = &files[i];
    known.insert(files[i].file_id);
    if (there) there_in_all.insert(files[i].file_id);
    const bool deleted = files[i].deletion == ExpectedFile::Deletion::kDeleted;
    if (!there && !deleted) ++verified.lost;
    if (there && deleted) ++verified.undone;
  }
  for (const int64_t count : counts) {
    if (count != counts.front()) {
      return absl::DataLossError(absl::StrCat("members count ", counts.front(),
                                              " and ", count, " files"));
    }
  }
  CAIRN_RETURN_IF_ERROR(CompareCensuses(censuses));
  for (const std::string& id : there_in_all) {
    if (censuses.front().count(id) == 0) return Broken(id, "is not listed");
  }
  for (const auto& [id, info] : censuses.front()) {
    if (known.count(id) == 0) ++verified.unclaimed;
  }
  for (const Suspicion& suspicion : suspicions) {
    const auto it = by_id.find(suspicion.file_id);
    if (it == by_id.end() || MayBeLost(*it->second, destruction)) continue;
    // A deletion that was repeated, after one that had no answer.
    if (ReasonOf(suspicion.seen) == ErrorReason::kFileDeleted &&
        it->second->delete_line > 0 &&
        it->second->delete_line <= suspicion.line) {
      continue;
    }
    return Broken(
        suspicion.file_id,
        absl::StrCat("was there and not found at line ", suspicion.line, ": ",
                     suspicion.seen.ToString()));
  }
  return verified;
}

}  // namespace testing
}  // namespace cairn
