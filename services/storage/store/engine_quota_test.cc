// What a path counts of its files and of their owners, and what it refuses for
// quotas, on paths in memory.

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/base/mutex.h"
#include "lib/base/uuid.h"
#include "lib/testing/seed_run.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/core/file_use.h"
#include "services/storage/core/quotas.h"
#include "services/storage/core/replica_store.h"
#include "services/storage/core/upload_sessions.h"
#include "services/storage/store/test_path.h"
#include "services/storage/store/testing/blocking_calls.h"
#include "services/storage/store/testing/replica_members.h"

namespace cairn {
namespace storage {
namespace {

constexpr size_t kLargeBytes = 600 << 10;  // In a segment of its own.

// A member whose path counts in quotas, and keeps what is deleted.
class Counted : public Member {
 public:
  explicit Counted(uint32_t number, uint64_t seed = 1) : Member(number, seed) {
    options()->quotas = &quotas_;
    options()->undelete_window = absl::Hours(48);
    KillAndOpen();
  }
  ~Counted() { path()->Stop(); }  // It counts in what goes first.

  Quotas* quotas() { return &quotas_; }

  void Limit(Quota group,
             std::map<std::string, Quota, std::less<>> clients = {}) {
    quotas_.SetLimits({group, std::move(clients)});
  }

  // All that is counted.
  UseTotals Use() {
    UseTotals use;
    use.all = quotas_.Use();
    for (const Quotas::ClientUse& client : quotas_.ListClients("", 1000)) {
      if (!client.use.empty()) use.owners[client.client] = client.use;
    }
    return use;
  }

 private:
  Quotas quotas_{"group1"};
};

absl::StatusOr<Committed> Put(Member* member, const std::string& name,
                              const std::string& content,
                              const std::string& owner = "",
                              FileKind kind = FileKind::kNormal,
                              const Uuid& request_id = Uuid()) {
  PutRequest put;
  put.name = name;
  put.kind = kind;
  put.request_id = request_id;
  put.create_unix_seconds = 1767225600;
  put.origin_node = member->options()->node_number;
  put.owner = owner;
  return PutOfAnySize(member->path(), std::move(put), content);
}

absl::StatusOr<Committed> CopyFile(Member* member, const std::string& from,
                                   const std::string& to,
                                   const std::string& owner) {
  const absl::StatusOr<FileInfo> source = member->path()->Stat(from);
  if (!source.ok()) return source.status();
  CopyRequest copy;
  copy.from = from;
  copy.size_bytes = source->size_bytes;
  copy.crc32c = source->crc32c;
  copy.name = to;
  copy.origin_node = member->options()->node_number;
  copy.owner = owner;
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Copy(std::move(copy), std::move(done));
  });
}

absl::StatusOr<Committed> Undelete(Member* member, const std::string& name) {
  UndeleteRequest request;
  request.name = name;
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Undelete(std::move(request), std::move(done));
  });
}

absl::StatusOr<Committed> Seal(Member* member, const std::string& name,
                               const std::string& as) {
  SealRequest seal;
  seal.name = name;
  seal.make_name = [as](int64_t, uint32_t) {
    return SealRequest::NewName{as, 1767225600};
  };
  return AwaitCommitted([&](CommitDone done) {
    member->path()->Seal(std::move(seal), std::move(done));
  });
}

absl::StatusOr<Committed> SetExpiry(Member* member, const std::string& name,
                                    absl::Time expire) {
  SetExpiryRequest request;
  request.name = name;
  request.expire_unix_seconds = absl::ToUnixSeconds(expire);
  return AwaitCommitted([&](CommitDone done) {
    member->path()->SetExpiry(std::move(request), std::move(done));
  });
}

ErrorReason ReasonOfPut(Member* member, const std::string& name,
                        const std::string& content,
                        const std::string& owner = "") {
  return ReasonOf(Put(member, name, content, owner).status());
}

// One round of the background, with all that happened before in the tables.
void RunBackground(Member* member) {
  ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
  ASSERT_THAT(member->path()->Compact(0, nullptr), IsOk());
}

void ExpectUse(Counted* member, const UseTotals& expected) {
  const UseTotals use = member->Use();
  EXPECT_EQ(use.all, expected.all);
  EXPECT_EQ(use.owners, expected.owners);
  EXPECT_EQ(member->path()->Status().files, expected.all.files);
  EXPECT_EQ(member->path()->Status().file_bytes, expected.all.bytes);
}

// However the path is opened again.
void ExpectUseToStay(Counted* member, const UseTotals& expected) {
  ExpectUse(member, expected);
  {
    SCOPED_TRACE("killed");
    member->KillAndOpen();
    ExpectUse(member, expected);
  }
  {
    SCOPED_TRACE("with a checkpoint, then killed");
    ASSERT_THAT(member->replica()->BeginSnapshot(), IsOk());
    member->KillAndOpen();
    ExpectUse(member, expected);
  }
  {
    SCOPED_TRACE("closed");
    member->Open();
    ExpectUse(member, expected);
  }
  {
    SCOPED_TRACE("a power cut");
    member->PowerCutAndOpen();
    ExpectUse(member, expected);
  }
  {
    SCOPED_TRACE("rebuilt");
    member->Rebuild();
    ExpectUse(member, expected);
  }
}

TEST(EngineQuotaTest, CountsWhatIsThereOfEachOwner) {
  Counted member(1);
  UseTotals expected;
  ASSERT_THAT(Put(&member, "nobody's", "12345"), IsOk());
  expected.Add("", {1, 5});
  ASSERT_THAT(Put(&member, "empty", "", "alice"), IsOk());
  expected.Add("alice", {1, 0});
  ASSERT_THAT(Put(&member, "small", TestContent(1, 1000), "alice"), IsOk());
  expected.Add("alice", {1, 1000});
  ASSERT_THAT(Put(&member, "large", TestContent(2, kLargeBytes), "bob"),
              IsOk());
  expected.Add("bob", {1, kLargeBytes});
  ASSERT_THAT(Put(&member, "derived", "thumb", "alice", FileKind::kDerived),
              IsOk());
  expected.Add("alice", {1, 5});
  ExpectUse(&member, expected);

  // A copy counts for itself, though it takes no room.
  ASSERT_THAT(CopyFile(&member, "large", "copy", "carol"), IsOk());
  expected.Add("carol", {1, kLargeBytes});
  ExpectUse(&member, expected);

  ASSERT_THAT(
      Put(&member, "appender", "0123456789", "dave", FileKind::kAppender),
      IsOk());
  ASSERT_THAT(UpdateFile(member.path(), Append("appender", "abcde")), IsOk());
  ASSERT_THAT(UpdateFile(member.path(), Modify("appender", 12, "xyzxyz")),
              IsOk());
  expected.Add("dave", {1, 18});
  ExpectUse(&member, expected);
  ASSERT_THAT(UpdateFile(member.path(), Truncate("appender", 4)), IsOk());
  expected.Add("dave", {0, -14});
  ExpectUse(&member, expected);
  ASSERT_THAT(UpdateFile(member.path(), Truncate("appender", 104)), IsOk());
  expected.Add("dave", {0, 100});
  ExpectUseToStay(&member, expected);

  ASSERT_THAT(Seal(&member, "appender", "sealed"), IsOk());
  ASSERT_THAT(
      SetExpiry(&member, "small", member.clock()->Now() + absl::Hours(1)),
      IsOk());
  ExpectUseToStay(&member, expected);

  // What is kept of a deleted file counts for nobody.
  ASSERT_THAT(DeleteFile(member.path(), "large"), IsOk());
  expected.Add("bob", {-1, -static_cast<int64_t>(kLargeBytes)});
  ASSERT_THAT(DeleteFile(member.path(), "nobody's"), IsOk());
  expected.Add("", {-1, -5});
  ExpectUseToStay(&member, expected);
  EXPECT_EQ(member.Use().owners.count("bob"), 0);
  ASSERT_THAT(Undelete(&member, "large"), IsOk());
  expected.Add("bob", {1, kLargeBytes});
  ExpectUseToStay(&member, expected);
}

TEST(EngineQuotaTest, AnExpiredFileCountsUntilItsSpaceIsReclaimed) {
  Counted member(1);
  ASSERT_THAT(Put(&member, "file", "12345", "alice"), IsOk());
  ASSERT_THAT(
      SetExpiry(&member, "file", member.clock()->Now() + absl::Seconds(10)),
      IsOk());
  UseTotals expected;
  expected.Add("alice", {1, 5});
  member.clock()->Advance(absl::Seconds(20));
  RunBackground(&member);
  ExpectUse(&member, expected);
  member.clock()->Advance(member.options()->expiry_grace + absl::Hours(1));
  RunBackground(&member);
  ExpectUseToStay(&member, UseTotals());
}

TEST(EngineQuotaTest, AMemberThatTakesOverCountsTheSameAndRefusesNothing) {
  Counted a(1);
  Counted b(2);
  b.Limit({1, 1}, {{"alice", {1, 1}}});
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(Put(&a, absl::StrCat("small", i), "12345", "alice"), IsOk());
  }
  ASSERT_THAT(Put(&a, "large", TestContent(1, kLargeBytes), "bob"), IsOk());
  ASSERT_THAT(CopyFile(&a, "large", "copy", "alice"), IsOk());
  ASSERT_THAT(Put(&a, "appender", "abc", "alice", FileKind::kAppender), IsOk());
  ASSERT_THAT(UpdateFile(a.path(), Append("appender", "defgh")), IsOk());
  Copy(&a, &b);
  ExpectUseToStay(&b, a.Use());
  ASSERT_THAT(UpdateFile(a.path(), Append("appender", "more")), IsOk());
  ASSERT_THAT(DeleteFile(a.path(), "large"), IsOk());
  Copy(&a, &b);
  ExpectUse(&b, a.Use());
  ASSERT_THAT(Undelete(&a, "large"), IsOk());
  Copy(&a, &b);
  ExpectUseToStay(&b, a.Use());
  EXPECT_EQ(ReasonOfPut(&b, "own", "x"), ErrorReason::kQuotaExceeded);
}

TEST(EngineQuotaTest, RefusesWhatGrowsBeyondAndNothingElse) {
  Counted member(1);
  ASSERT_THAT(Put(&member, "a", "12345", "alice"), IsOk());
  ASSERT_THAT(Put(&member, "large", TestContent(1, kLargeBytes), "alice"),
              IsOk());
  ASSERT_THAT(Put(&member, "appender", "0123", "alice", FileKind::kAppender),
              IsOk());
  ASSERT_THAT(Put(&member, "gone", "123", "alice"), IsOk());
  ASSERT_THAT(DeleteFile(member.path(), "gone"), IsOk());
  const UseTotals before = member.Use();
  // Full to the brim, for alice alone.
  member.Limit({}, {{"alice",
                     {static_cast<uint64_t>(before.all.files),
                      static_cast<uint64_t>(before.all.bytes)}}});

  const auto refused = [](const absl::StatusOr<Committed>& committed) {
    EXPECT_EQ(committed.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReasonOf(committed.status()), ErrorReason::kQuotaExceeded);
    EXPECT_EQ(MetadataOf(committed.status())["quota"], "client");
  };
  refused(Put(&member, "b", "", "alice"));
  refused(Put(&member, "c", TestContent(2, kLargeBytes), "alice"));
  refused(CopyFile(&member, "large", "copy", "alice"));
  refused(Undelete(&member, "gone"));
  refused(UpdateFile(member.path(), Append("appender", "x")));
  refused(UpdateFile(member.path(), Modify("appender", 2, "xyz")));
  refused(UpdateFile(member.path(), Truncate("appender", 5)));
  ExpectUse(&member, before);

  // Others may, and so may whoever has no identity.
  ASSERT_THAT(CopyFile(&member, "large", "bob's", "bob"), IsOk());
  ASSERT_THAT(Put(&member, "nobody's", "x"), IsOk());

  // What does not grow is not refused.
  EXPECT_THAT(UpdateFile(member.path(), Modify("appender", 0, "abcd")), IsOk());
  EXPECT_THAT(UpdateFile(member.path(), Append("appender", "")), IsOk());
  SetAttributesRequest set;
  set.name = "a";
  set.change.set = {{"name", "value"}};
  EXPECT_THAT(SetAttributesAndWait(member.path(), set), IsOk());
  EXPECT_THAT(Seal(&member, "appender", "sealed"), IsOk());

  // And what is deleted makes room.
  ASSERT_THAT(DeleteFile(member.path(), "a"), IsOk());
  refused(Put(&member, "d", "123456", "alice"));
  EXPECT_THAT(Undelete(&member, "gone"), IsOk());
  refused(Put(&member, "d", "", "alice"));
}

TEST(EngineQuotaTest, ARepeatedCallIsAnsweredThoughNothingFitsAnyMore) {
  Counted member(1);
  member.Limit({1, 0});
  const Uuid id = Uuid::Random();
  ASSERT_THAT(Put(&member, "a", "12345", "alice", FileKind::kNormal, id),
              IsOk());
  const absl::StatusOr<Committed> again =
      Put(&member, "b", "12345", "alice", FileKind::kNormal, id);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->file.name, "a");
  EXPECT_EQ(ReasonOfPut(&member, "c", "x"), ErrorReason::kQuotaExceeded);
}

TEST(EngineQuotaTest, ADerivedFileOfTheSameNameAddsNothing) {
  Counted member(1);
  ASSERT_THAT(Put(&member, "d", "12345", "alice", FileKind::kDerived), IsOk());
  member.Limit({1, 5});
  const auto again = Put(&member, "d", "12345", "bob", FileKind::kDerived);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed);
  // In place of one that has expired, of the same owner.
  ASSERT_THAT(SetExpiry(&member, "d", member.clock()->Now() + absl::Seconds(1)),
              IsOk());
  member.clock()->Advance(absl::Seconds(2));
  ASSERT_THAT(Put(&member, "d", "54321", "alice", FileKind::kDerived), IsOk());
  UseTotals expected;
  expected.Add("alice", {1, 5});
  ExpectUseToStay(&member, expected);
}

// All of them wait in the queue together.
TEST(EngineQuotaTest, TakesAsManyOfABurstAsFit) {
  Counted member(1);
  constexpr int kPuts = 200;
  constexpr int kFit = 77;
  member.Limit({kFit, 0});
  Mutex mu;
  CondVar changed;
  int answered = 0;
  int taken = 0;
  for (int i = 0; i < kPuts; ++i) {
    PutRequest put = MakePut(absl::StrCat("file", i), "x", Durability::kCached);
    put.owner = absl::StrCat("client", i % 3);
    member.path()->Put(std::move(put), [&](absl::StatusOr<Committed> done) {
      MutexLock lock(&mu);
      ++answered;
      taken += done.ok() ? 1 : 0;
      changed.SignalAll();
    });
  }
  {
    MutexLock lock(&mu);
    while (answered < kPuts) changed.Wait(&mu);
    EXPECT_EQ(taken, kFit);
  }
  EXPECT_EQ(member.Use().all, (FileUse{kFit, kFit}));
}

TEST(EngineQuotaTest, AnUploadInPartsIsRefusedAtItsEndAndStays) {
  Counted member(1);
  member.Limit({}, {{"alice", {0, 1000}}});
  const std::string content = TestContent(3, kLargeBytes);
  const Uuid id = Uuid::Random();
  UploadSessionSpec spec;
  spec.size_bytes = static_cast<int64_t>(content.size());
  spec.owner = "alice";
  ASSERT_THAT(member.path()->uploads()->Create(id, spec), IsOk());
  ASSERT_THAT(WriteUploadPart(member.path(), id, 0, content), IsOk());
  // Whoever began it is remembered.
  member.KillAndOpen();
  const auto info = member.path()->uploads()->Query(id);
  ASSERT_THAT(info, IsOk());
  EXPECT_EQ(info->spec.owner, "alice");
  const auto finish = [&] {
    auto complete = member.path()->uploads()->OpenFinish(id, absl::nullopt);
    EXPECT_THAT(complete, IsOk());
    Upload::FinishRequest request;
    request.name = "file";
    request.origin_node = 1;
    request.owner = info->spec.owner;
    return AwaitCommitted([&](CommitDone done) {
      (*complete)->Commit(std::move(request), std::move(done));
    });
  };
  EXPECT_EQ(ReasonOf(finish().status()), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(member.Use().all, FileUse());
  member.Limit({}, {{"alice", {0, kLargeBytes}}});
  ASSERT_THAT(finish(), IsOk());
  UseTotals expected;
  expected.Add("alice", {1, kLargeBytes});
  ExpectUseToStay(&member, expected);
}

TEST(EngineQuotaTest, PathsOfANodeCountTogether) {
  Counted one(1);
  Member two(1);
  two.options()->quotas = one.quotas();
  two.KillAndOpen();
  one.Limit({3, 0});
  ASSERT_THAT(Put(&one, "a", "x"), IsOk());
  ASSERT_THAT(Put(&two, "b", "x"), IsOk());
  ASSERT_THAT(Put(&two, "c", "x"), IsOk());
  EXPECT_EQ(ReasonOfPut(&one, "d", "x"), ErrorReason::kQuotaExceeded);
  EXPECT_EQ(ReasonOfPut(&two, "d", "x"), ErrorReason::kQuotaExceeded);
  ASSERT_THAT(DeleteFile(two.path(), "b"), IsOk());
  EXPECT_THAT(Put(&one, "d", "x"), IsOk());
  EXPECT_EQ(one.quotas()->Use(), (FileUse{3, 3}));
  // It is not there any more, nor is what it has counted.
  two.path()->Stop();
  EXPECT_EQ(one.quotas()->Use(), (FileUse{2, 2}));
}

// What is counted after any sequence of changes is what can be seen.
void ChangeAtRandom(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&random](uint64_t below) { return random() % below; };
  Counted member(1, seed);
  Counted other(2, seed);
  std::vector<std::string> names;
  const auto any = [&] { return names[draw(names.size())]; };
  for (int step = 0; step < 120; ++step) {
    const std::string name = absl::StrCat("file", step);
    const std::string owner = absl::StrCat("client", draw(4));
    const bool large = draw(8) == 0;
    const std::string content =
        TestContent(random(), large ? kLargeBytes + draw(1000) : draw(3000));
    Quota group;
    if (draw(3) == 0) group.files = 30;
    if (draw(3) == 0) group.bytes = 2 << 20;
    member.Limit(group, {{"client1", {draw(10), 0}}});
    switch (names.empty() ? 0 : draw(12)) {
      case 0:
      case 1:
      case 2:
        (void)Put(&member, name, content, owner);
        names.push_back(name);
        break;
      case 3:
        (void)Put(&member, name, content, owner, FileKind::kAppender);
        names.push_back(name);
        break;
      case 4:
        (void)UpdateFile(member.path(), Append(any(), "more of it"));
        break;
      case 5:
        (void)UpdateFile(member.path(), Truncate(any(), draw(2000)));
        break;
      case 6:
        (void)CopyFile(&member, any(), name, owner);
        names.push_back(name);
        break;
      case 7:
        (void)DeleteFile(member.path(), any());
        break;
      case 8:
        (void)Undelete(&member, any());
        break;
      case 9:
        (void)Seal(&member, any(), name);
        names.push_back(name);
        break;
      case 10:
        RunBackground(&member);
        break;
      default:
        if (draw(2) == 0) {
          member.KillAndOpen();
        } else {
          Copy(&member, &other);
        }
    }
  }
  UseTotals seen;
  for (const std::string& name : names) {
    const absl::StatusOr<FileInfo> info = member.path()->Stat(name);
    if (info.ok()) seen.Add(info->owner, {1, info->size_bytes});
  }
  ExpectUseToStay(&member, seen);
}

TEST(EngineQuotaTest, CountsWhatCanBeSeenAfterAnyChanges) {
  SeedRun run(/*first_seed=*/1, /*rounds=*/8);
  while (run.Next()) {
    SCOPED_TRACE(run.Description());
    ChangeAtRandom(run.seed());
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace storage
}  // namespace cairn
